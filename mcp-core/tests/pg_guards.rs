//! What is particular to PostgreSQL: row-level security, roles, and plans that outlive a tenant.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use mcp_core::{
    Error, ErrorKind,
    audit::{AuditKey, AuditRecord, AuditStore as _, Chain, PgAudit, Sealer, SealerConfig, verify},
    clock::SystemClock,
    conformance::{PROBE, PgTestDatabase, eventually, platform, scope_of},
    lease::PgLeases,
    scope::Scope,
    sql::{
        IsolationMode, Migration, Migrations,
        postgres::{PgConfig, PgKernel, query, query_scalar},
    },
};
use sqlx::{Connection as _, PgConnection};

async fn kernel(database: &PgTestDatabase) -> PgKernel {
    PgKernel::install(&database.config, &[PROBE]).await.unwrap();
    PgKernel::connect(database.config.clone(), &[PROBE], Arc::new(SystemClock)).await.unwrap()
}

async fn tenant(kernel: &PgKernel, id: &str, mode: IsolationMode) -> Scope {
    let scope = scope_of(id).unwrap();
    let mut tx = kernel.control(&platform().unwrap()).await.unwrap();
    kernel.place(&mut tx, scope.tenant(), mode, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&platform().unwrap(), scope.tenant()).await.unwrap();
    scope
}

async fn put(kernel: &PgKernel, scope: &Scope, id: &str) {
    let mut tx = kernel.begin(scope).await.unwrap();
    let insert = query("INSERT INTO probe (tenant_id, id) VALUES ($1, $2)").bind(scope.tenant().as_str());
    insert.bind(id.to_owned()).execute(tx.conn()).await.unwrap();
    tx.audit(AuditRecord::done(scope, "probe.make", id)).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_tenant_table_forces_row_security_and_the_app_role_is_held_by_it() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    tenant(&kernel, "a", IsolationMode::Schema).await;
    tenant(&kernel, "b", IsolationMode::Database).await;
    for (place, schema) in [(None, "mcp_data"), (None, "a"), (Some("b"), "mcp_data")] {
        let mut admin = database.admin(place).await.unwrap();
        let tables: i64 = query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = $1")
            .bind(schema)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        assert!(tables >= 8, "{schema} has {tables} tables");
        let bare: Vec<String> = query_scalar(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE '\\_migrations\\_%'
               AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
                   SELECT 1 FROM pg_policies p WHERE p.schemaname = $1 AND p.tablename = c.relname
                     AND p.qual IS NOT NULL AND p.with_check IS NOT NULL))",
        )
        .bind(schema)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        assert!(bare.is_empty(), "without forced row-level security in {schema}: {bare:?}");
        let held: bool = query_scalar(
            "SELECT NOT rolsuper AND NOT rolbypassrls
                    AND NOT EXISTS (SELECT 1 FROM pg_class WHERE relowner = r.oid) FROM pg_roles r WHERE rolname = $1",
        )
        .bind(database.app_role())
        .fetch_one(&mut admin)
        .await
        .unwrap();
        assert!(held, "the app role owns a table or passes row-level security");
    }
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn row_security_fails_closed_when_no_tenant_is_set() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    let a = tenant(&kernel, "a", IsolationMode::Row).await;
    put(&kernel, &a, "secret").await;
    let mut tx = kernel.begin(&a).await.unwrap();
    for unset in ["SET LOCAL app.tenant_id = ''", "RESET app.tenant_id"] {
        query(unset).execute(tx.conn()).await.unwrap();
        let seen: i64 = query_scalar("SELECT count(*) FROM probe").fetch_one(tx.conn()).await.unwrap();
        assert_eq!(seen, 0, "after {unset}");
        let mut nested = sqlx::Connection::begin(tx.conn()).await.unwrap();
        let forged = query("INSERT INTO probe (tenant_id, id) VALUES ('', 'x')").execute(&mut *nested).await;
        assert!(forged.is_err(), "after {unset}");
    }
    drop(tx);
    // Nor does a new session, which has never heard of the setting.
    let mut admin = database.admin(None).await.unwrap();
    query(sqlx::AssertSqlSafe(format!("SET ROLE {}", database.app_role())))
        .execute(&mut admin)
        .await
        .unwrap();
    let seen: i64 = query_scalar("SELECT count(*) FROM mcp_data.probe").fetch_one(&mut admin).await.unwrap();
    assert_eq!(seen, 0);
    kernel.close().await;
    database.destroy().await.unwrap();
}

/// CVE-2023-2455: a plan made for one tenant, run for another.
#[tokio::test]
async fn a_plan_made_for_one_tenant_does_not_show_its_rows_to_another() {
    let mut database = PgTestDatabase::create().await.unwrap();
    database.config.connections = 1;
    let kernel = kernel(&database).await;
    let (a, b) =
        (tenant(&kernel, "a", IsolationMode::Row).await, tenant(&kernel, "b", IsolationMode::Row).await);
    let (c, d) = (
        tenant(&kernel, "c", IsolationMode::Schema).await,
        tenant(&kernel, "d", IsolationMode::Schema).await,
    );
    for scope in [&a, &b, &c, &d] {
        put(&kernel, scope, &format!("of {}", scope.tenant())).await;
    }
    // On one connection, a statement with a name: prepared as one tenant, so often that it gets a generic
    // plan, then run as the others.
    let mut tx = kernel.begin(&a).await.unwrap();
    query("SET plan_cache_mode = force_generic_plan").execute(tx.conn()).await.unwrap();
    query("PREPARE all_rows AS SELECT id FROM probe").execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    for round in 0..8 {
        for scope in [&a, &b, &c, &d] {
            let mut read = kernel.read(scope).await.unwrap();
            let seen: Vec<(String,)> =
                mcp_core::sql::postgres::query_as("EXECUTE all_rows").fetch_all(read.conn()).await.unwrap();
            assert_eq!(seen, [(format!("of {}", scope.tenant()),)], "round {round}");
        }
    }
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn the_app_role_appends_to_the_log_and_cannot_change_it() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    let a = tenant(&kernel, "a", IsolationMode::Row).await;
    put(&kernel, &a, "n1").await;
    for statement in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "DELETE FROM audit_pending",
        "INSERT INTO audit_seal SELECT 'a', 1, 'x', 1, ''::bytea, ''::bytea, 1, 1",
        "DELETE FROM outbox",
        "DELETE FROM mcp_control.placement",
        "UPDATE mcp_control.placement SET ready = TRUE",
        "ALTER TABLE audit DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE here (tenant_id text)",
    ] {
        let mut tx = kernel.begin(&a).await.unwrap();
        let error = query(statement).execute(tx.conn()).await.unwrap_err();
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{statement}");
    }
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn the_relay_role_reads_the_log_and_nothing_else_of_tenants() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    let a = tenant(&kernel, "a", IsolationMode::Row).await;
    put(&kernel, &a, "n1").await;
    tenant(&kernel, "b", IsolationMode::Schema).await;
    let relay = database.config.relay.clone().unwrap();
    let mut relay = PgConnection::connect(relay.expose()).await.unwrap();
    for schema in ["mcp_data", "b"] {
        for statement in [
            "SELECT id FROM {}.probe",
            "INSERT INTO {}.probe (tenant_id, id) VALUES ('a', 'x')",
            "DELETE FROM {}.probe",
            "INSERT INTO {}.outbox DEFAULT VALUES",
            "UPDATE {}.outbox SET tenant_id = 'x'",
            "INSERT INTO {}.audit DEFAULT VALUES",
            "UPDATE {}.audit SET actor = 'nobody'",
            "DELETE FROM {}.audit",
            "UPDATE {}.audit_seal SET seq = 0",
        ] {
            let statement = statement.replace("{}", schema);
            let refused = query(sqlx::AssertSqlSafe(statement.clone())).execute(&mut relay).await;
            let error = refused.unwrap_err();
            let code = error.as_database_error().and_then(|error| error.code().map(|code| code.to_string()));
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
        }
    }
    // What it is there for it can do, whoever the tenant is.
    let seen: Vec<String> =
        query_scalar("SELECT tenant_id FROM mcp_data.audit").fetch_all(&mut relay).await.unwrap();
    assert!(seen.iter().any(|tenant| tenant == "a"), "{seen:?}");
    relay.close().await.unwrap();
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn no_statement_gets_a_name() {
    let mut database = PgTestDatabase::create().await.unwrap();
    database.config.connections = 1;
    let kernel = kernel(&database).await;
    let a = tenant(&kernel, "a", IsolationMode::Schema).await;
    put(&kernel, &a, "n1").await;
    let mut tx = kernel.control(&platform().unwrap()).await.unwrap();
    let named: i64 =
        query_scalar("SELECT count(*) FROM pg_prepared_statements").fetch_one(tx.conn()).await.unwrap();
    assert_eq!(named, 0);
    drop(tx);
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn a_statement_with_a_name_shows_each_tenant_its_own() {
    let mut database = PgTestDatabase::create().await.unwrap();
    (database.config.connections, database.config.named_statements) = (1, true);
    let kernel = kernel(&database).await;
    let mut scopes = Vec::new();
    for (id, mode) in [
        ("a", IsolationMode::Row),
        ("b", IsolationMode::Row),
        ("c", IsolationMode::Schema),
        ("d", IsolationMode::Schema),
    ] {
        scopes.push(tenant(&kernel, id, mode).await);
    }
    // More often than a plan is made anew for.
    for round in 0..8 {
        for scope in &scopes {
            put(&kernel, scope, &format!("{}-{round}", scope.tenant())).await;
            let mut read = kernel.read(scope).await.unwrap();
            assert!(read.prepares());
            let rows = query_scalar("SELECT id FROM probe").persistent(read.prepares());
            let rows: Vec<String> = rows.fetch_all(read.conn()).await.unwrap();
            assert_eq!(rows.len(), round + 1, "{rows:?}");
            assert!(rows.iter().all(|id| id.starts_with(scope.tenant().as_str())), "{rows:?}");
        }
    }
    let mut tx = kernel.control(&platform().unwrap()).await.unwrap();
    let kept = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE $1";
    for (pattern, count) in
        [("SELECT id FROM probe", 1), ("%INTO audit_pending%", 1), ("INSERT INTO probe%", 0)]
    {
        let named: Vec<String> = query_scalar(kept).bind(pattern).fetch_all(tx.conn()).await.unwrap();
        assert_eq!(named.len(), count, "{pattern}: {named:?}");
    }
    drop(tx);
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn connections_that_were_cut_while_idle_are_replaced_unseen() {
    let mut database = PgTestDatabase::create().await.unwrap();
    database.config.connections = 2;
    let kernel = kernel(&database).await;
    let a = tenant(&kernel, "a", IsolationMode::Row).await;
    let both = [kernel.begin(&a).await.unwrap(), kernel.begin(&a).await.unwrap()];
    for tx in both {
        tx.rollback().await.unwrap();
    }
    let mut admin = database.admin(None).await.unwrap();
    let cut: i64 = query_scalar(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = $1",
    )
    .bind(database.app_role())
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(cut, 2);
    put(&kernel, &a, "n1").await;
    admin.close().await.unwrap();
    kernel.close().await;
    database.destroy().await.unwrap();
}

/// What fails while it begins has begun on the server for all that: it must not stay open, nor keep its turn.
#[tokio::test]
async fn a_begin_that_fails_in_its_turn_leaves_nothing_open() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    let a = tenant(&kernel, "a", IsolationMode::Row).await;
    let first = kernel.begin_in_turn(&a, "probe:a/1".to_owned()).await.unwrap();
    let hurried = a.clone().with_deadline(Instant::now() + Duration::from_millis(200));
    let error = kernel.begin_in_turn(&hurried, "probe:a/1".to_owned()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error:?}");
    kernel.begin_in_turn(&a, "probe:a/2".to_owned()).await.unwrap().rollback().await.unwrap();
    let only_the_first =
        eventually("a transaction is left open", || async { Ok(database.open_transactions().await? == 1) });
    only_the_first.await.unwrap();
    first.commit().await.unwrap();
    kernel.begin_in_turn(&a, "probe:a/1".to_owned()).await.unwrap().commit().await.unwrap();
    kernel.close().await;
    database.destroy().await.unwrap();
}

/// Where the owner does the relay's work, it keeps its rights; a relay with a role of its own may come later,
/// and go.
#[tokio::test]
async fn two_urls_do_what_three_do() {
    let mut database = PgTestDatabase::create().await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let checkpoints = files.path().join("checkpoints.jsonl");
    let key = AuditKey::ephemeral().unwrap();
    let (owner, relay) = (database.config.owner.clone(), database.config.relay.clone());
    for (round, url) in [owner.clone(), relay, owner].into_iter().enumerate() {
        database.config.relay = url;
        let kernel = kernel(&database).await;
        let mut scopes = Vec::new();
        for mode in IsolationMode::ALL {
            scopes.push(tenant(&kernel, &format!("{mode}-{round}"), mode).await);
        }
        PgKernel::install(&database.config, &[PROBE]).await.unwrap();
        assert_eq!(kernel.migrate(&platform().unwrap()).await.unwrap(), 3 * (round as u64 + 1));
        for scope in &scopes {
            put(&kernel, scope, "n1").await;
        }
        seal(&kernel, &scopes, &checkpoints, &key).await;
        let store = PgAudit::new(kernel.clone());
        let report = verify(&store, &checkpoints, &[key.public()]).await.unwrap();
        assert!(report.is_intact(), "round {round}: {report:?}");
        assert_eq!(report.chains.iter().map(|chain| chain.sealed).sum::<u64>(), 3 * (round as u64 + 1));
        kernel.close().await;
    }
    database.destroy().await.unwrap();
}

/// Seals until each tenant's one record is a link. Other tests' transactions on the server may hold it back.
async fn seal(kernel: &PgKernel, scopes: &[Scope], checkpoints: &Path, key: &AuditKey) {
    let (store, leases) = (Arc::new(PgAudit::new(kernel.clone())), Arc::new(PgLeases::new(kernel.clone())));
    // Only the rounds below seal.
    let config =
        SealerConfig { interval: Duration::from_secs(3600), ..SealerConfig::new(checkpoints.to_owned()) };
    let sealer = Sealer::start(store.clone(), leases, key.clone(), Arc::new(SystemClock), config).unwrap();
    for scope in scopes {
        let chain = Chain::Tenant(scope.tenant().clone());
        let sealing = async {
            while store.head(&platform().unwrap(), &chain).await.unwrap().seq < 1 {
                sealer.seal_now().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), sealing).await.unwrap();
    }
    sealer.shutdown().await;
}

async fn refused(config: PgConfig) -> Error {
    PgKernel::connect(config, &[PROBE], Arc::new(SystemClock)).await.unwrap_err()
}

#[tokio::test]
async fn a_role_that_row_security_would_not_hold_is_refused() {
    let database = PgTestDatabase::create().await.unwrap();
    kernel(&database).await.close().await;
    let mut config = database.config.clone();
    (config.owner, config.app) = (None, database.config.owner.clone().unwrap());
    let error = refused(config).await;
    assert!(error.message().contains("owns the tables"), "{error:?}");
    let mut admin = database.admin(None).await.unwrap();
    let bypass = format!("ALTER ROLE {} BYPASSRLS", database.app_role());
    query(sqlx::AssertSqlSafe(bypass)).execute(&mut admin).await.unwrap();
    let error = refused(database.config.clone()).await;
    assert!(error.message().contains("BYPASSRLS"), "{error:?}");
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn a_database_behind_the_program_is_refused_with_the_command_to_run() {
    let database = PgTestDatabase::create().await.unwrap();
    let error = refused(database.config.clone()).await;
    assert!(error.message().contains("mcp-platform migrate"), "{error:?}");
    PgKernel::install(&database.config, &[]).await.unwrap();
    let error = refused(database.config.clone()).await;
    assert!(error.message().contains("mcp-platform migrate"), "{error:?}");
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn a_tenants_table_whose_key_does_not_begin_with_the_tenant_is_refused() {
    const LOOSE: Migrations = Migrations {
        name: "loose",
        control: &[],
        tenant: &[Migration {
            version: 1,
            name: "loose",
            sql: "CREATE TABLE loose (id text PRIMARY KEY, tenant_id text NOT NULL)",
        }],
    };
    let database = PgTestDatabase::create().await.unwrap();
    let error = PgKernel::install(&database.config, &[LOOSE]).await.unwrap_err();
    assert!(error.message().contains("`loose`"), "{error:?}");
    database.destroy().await.unwrap();
}
