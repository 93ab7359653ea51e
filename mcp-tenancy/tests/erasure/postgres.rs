//! On PostgreSQL, in every isolation mode, and in the databases of a region.

use std::collections::BTreeMap;

use mcp_core::{
    audit::AuditRecord,
    conformance::{Cut, PgTestDatabase, cancel_at},
    event::Event,
    key::MasterKey,
    sql::{
        IsolationMode, Migration, Migrations,
        postgres::{PgEraser, PgKernel, PgRegion, query, query_scalar},
    },
};
use mcp_tenancy::{
    POSTGRES_MIGRATIONS, TenancyDeps,
    tenant::{Name, PostgresTenantStore, Regions, TierModes},
};
use sqlx::{AssertSqlSafe, PgConnection};

use super::*;

/// What a crate of tomorrow brings.
const LATER: Migrations = Migrations {
    name: "later",
    control: &[],
    tenant: &[Migration {
        version: 1,
        name: "notes",
        sql: "CREATE TABLE note (tenant_id TEXT NOT NULL, id BIGINT NOT NULL, text TEXT NOT NULL,
                                 PRIMARY KEY (tenant_id, id));",
    }],
};
const MIGRATIONS: &[Migrations] = &[POSTGRES_MIGRATIONS, LATER];

async fn connect(database: &PgTestDatabase) -> PgKernel {
    PgKernel::connect(database.config.clone(), MIGRATIONS, Arc::new(SystemClock)).await.unwrap()
}

async fn database() -> (PgTestDatabase, PgKernel) {
    let database = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
    PgKernel::install(&database.config, MIGRATIONS).await.unwrap();
    let kernel = connect(&database).await;
    (database, kernel)
}

async fn tenancy(kernel: &PgKernel, mode: IsolationMode) -> Tenancy {
    let modes = TierModes::all(mode);
    let mut deps = TenancyDeps::postgres(kernel, modes.clone(), MasterKey::ephemeral().unwrap(), tokens());
    deps.regions = Regions::default().with(Name::parse("eu-west-1").unwrap());
    deps.tenants =
        Arc::new(PostgresTenantStore::new(kernel.clone(), modes).with_regions(deps.regions.clone()));
    deps.erasers = vec![Arc::new(PgEraser::new(kernel.clone(), Duration::ZERO))];
    Tenancy::open(deps).await.unwrap()
}

async fn write(kernel: &PgKernel, tenant: &TenantId, notes: i64) {
    let mut tx = kernel.begin(&scope(tenant)).await.unwrap();
    query("INSERT INTO note (tenant_id, id, text) SELECT $1, n, 'text' FROM generate_series(1, $2) AS n")
        .bind(tenant.as_str())
        .bind(notes)
        .execute(tx.conn())
        .await
        .unwrap();
    tx.emit(Event::new("note.created.v1", "/notes", serde_json::json!({}))).await.unwrap();
    tx.audit(AuditRecord::done(&scope(tenant), "note.create", "note/1")).await.unwrap();
    tx.commit().await.unwrap();
}

/// Every row of every table of a database that names the tenant, in text, as a superuser sees it.
async fn rows(conn: &mut PgConnection, tenant: &TenantId) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let tables: Vec<String> = query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
         WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    for table in tables {
        let sql = format!("SELECT t::text FROM {table} AS t WHERE tenant_id = $1 ORDER BY 1");
        let rows: Vec<String> =
            query_scalar(AssertSqlSafe(sql)).bind(tenant.as_str()).fetch_all(&mut *conn).await.unwrap();
        if !rows.is_empty() {
            found.insert(table, rows);
        }
    }
    found
}

async fn actions(kernel: &PgKernel, tenant: &TenantId) -> Vec<String> {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    query_scalar("SELECT action FROM audit WHERE resource = $1 AND action LIKE 'tenant.%' ORDER BY seq")
        .bind(format!("tenant/{tenant}"))
        .fetch_all(read.conn())
        .await
        .unwrap()
}

/// What is left of a tenant in the main database.
fn only_tombstones(left: &BTreeMap<String, Vec<String>>, when: &str) {
    let tables: Vec<_> = left.keys().map(|table| table.rsplit('.').next().unwrap()).collect();
    assert_eq!(tables, ["closed_placement", "data_key"], "{when}: {left:?}");
}

async fn nothing_is_left(mode: IsolationMode) {
    let (database, kernel) = database().await;
    let tenancy = tenancy(&kernel, mode).await;
    let (acme, sealed) = fill(&tenancy, NewTenant::new(id("acme"), "Acme")).await;
    let (globex, kept) = fill(&tenancy, NewTenant::new(id("globex"), "Globex")).await;
    write(&kernel, &acme.id, 2501).await;
    write(&kernel, &globex.id, 3).await;
    // Another replica has connections of its own to what is to go.
    let other = connect(&database).await;
    other.begin(&scope(&acme.id)).await.unwrap().rollback().await.unwrap();
    let mut main = database.admin(None).await.unwrap();
    let own = (mode == IsolationMode::Database).then_some("globex");
    let mut place = database.admin(own).await.unwrap();
    let before = (rows(&mut main, &globex.id).await, rows(&mut place, &globex.id).await);
    assert!(before.1.keys().any(|table| table.ends_with("note")), "{:?}", before.1.keys());

    tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
    let eraser = eraser(&tenancy);
    let first = eraser.round().await.unwrap();
    if mode == IsolationMode::Database {
        // The owner may not end the sessions of the app role: it waits until the other replica has closed its own.
        assert_eq!(first.waiting, std::slice::from_ref(&acme.id));
        other.close().await;
        erase(&eraser, &[&acme.id]).await;
    } else {
        assert_eq!(first.erased, std::slice::from_ref(&acme.id));
        other.close().await;
    }
    is_gone(&tenancy, &acme, &sealed).await;
    only_tombstones(&rows(&mut main, &acme.id).await, mode.as_str());
    let places: i64 = query_scalar(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'acme')
              + (SELECT count(*) FROM pg_database WHERE datname = $1)",
    )
    .bind(format!("{}acme", database.config.database_prefix))
    .fetch_one(&mut main)
    .await
    .unwrap();
    assert_eq!(places, 0, "its schema or database is there");
    assert_eq!(rows(&mut main, &globex.id).await, before.0, "the other's rows changed");
    assert_eq!(rows(&mut place, &globex.id).await, before.1, "the other's rows changed");
    tenancy.data_keys().open(&scope(&globex.id), NOTE.row("n1"), &kept).await.unwrap();
    assert_eq!(kernel.begin(&scope(&acme.id)).await.unwrap_err().kind(), ErrorKind::NotFound);
    kernel.migrate(&admin()).await.unwrap();

    let receipt = tenancy.erasure_receipt(&admin(), &acme.id).await.unwrap();
    let step = &receipt.steps.iter().find(|step| step.name == "database").unwrap().erased;
    assert_eq!((step.counts["note"], step.counts["api_key"]), (2501, 1), "{step:?}");
    assert!(receipt.last_link().unwrap().unsealed >= 1, "{step:?}");
    let expected = ["tenant.create", "tenant.delete", "tenant.erasing", "tenant.erase"];
    assert_eq!(actions(&kernel, &acme.id).await, expected);
    drop((main, place));
    tenancy.shutdown().await;
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_in_mode_row() {
    nothing_is_left(IsolationMode::Row).await;
}

#[tokio::test]
async fn nothing_is_left_in_mode_schema() {
    nothing_is_left(IsolationMode::Schema).await;
}

#[tokio::test]
async fn nothing_is_left_in_mode_database() {
    nothing_is_left(IsolationMode::Database).await;
}

/// As on SQLite; longer and longer strides keep it short, as every wait for the network is an await.
async fn cut_anywhere(mode: IsolationMode) {
    let (database, kernel) = database().await;
    let tenancy = tenancy(&kernel, mode).await;
    let mut main = database.admin(None).await.unwrap();
    for polls in std::iter::successors(Some(1_usize), |polls| Some(polls + 1 + polls / 3)).take(40) {
        let (tenant, sealed) = fill(&tenancy, NewTenant::new(id(&format!("t{polls}")), "T")).await;
        write(&kernel, &tenant.id, 2).await;
        tenancy.delete_tenant(&admin(), &tenant.id, Duration::ZERO).await.unwrap();
        let cut = cancel_at(polls, eraser(&tenancy).round()).await;
        if !matches!(cut, Cut::Completed(_)) {
            // What was cut may hold the tenant's lock, or the database, for a moment.
            mcp_core::conformance::eventually("the erasure does not end", || async {
                eraser(&tenancy).round().await?;
                let tenant = tenancy.tenant(&admin(), &tenant.id).await?;
                Ok(tenant.status == TenantStatus::Erased)
            })
            .await
            .unwrap_or_else(|failure| panic!("cut at {polls}: {failure}"));
        }
        is_gone(&tenancy, &tenant, &sealed).await;
        only_tombstones(&rows(&mut main, &tenant.id).await, &format!("cut at {polls}"));
        let receipt = tenancy.erasure_receipt(&admin(), &tenant.id).await.unwrap();
        let step = &receipt.steps.iter().find(|step| step.name == "database").unwrap().erased;
        assert_eq!(step.counts["note"], 2, "cut at {polls}: {receipt:?}");
        let expected = ["tenant.create", "tenant.delete", "tenant.erasing", "tenant.erase"];
        assert_eq!(actions(&kernel, &tenant.id).await, expected, "cut at {polls}");
        if matches!(cut, Cut::Completed(_)) {
            assert!(polls > 10, "there was nothing to cut");
            drop(main);
            tenancy.shutdown().await;
            kernel.close().await;
            database.destroy().await.unwrap();
            return;
        }
    }
    panic!("no run was long enough to finish");
}

#[tokio::test]
async fn an_erasure_cut_anywhere_is_gone_on_with_in_mode_row() {
    cut_anywhere(IsolationMode::Row).await;
}

#[tokio::test]
async fn an_erasure_cut_anywhere_is_gone_on_with_in_mode_database() {
    cut_anywhere(IsolationMode::Database).await;
}

#[tokio::test]
async fn a_regions_tenants_live_in_its_database() {
    for mode in IsolationMode::ALL {
        let eu = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
        let mut home = PgTestDatabase::create().await.unwrap();
        // One name of tenants' databases for both: here they are on one server.
        let region = PgRegion {
            app: eu.config.app.clone(),
            owner: eu.config.owner.clone(),
            relay: eu.config.relay.clone(),
        };
        home.config.regions.insert("eu-west-1".to_owned(), region);
        PgKernel::install(&home.config, MIGRATIONS).await.unwrap();
        let kernel = connect(&home).await;
        let tenancy = tenancy(&kernel, mode).await;
        let mut new = NewTenant::new(id("acme"), "Acme");
        new.profile.region = Name::parse("eu-west-1").unwrap();
        let (acme, sealed) = fill(&tenancy, new).await;
        let (globex, _) = fill(&tenancy, NewTenant::new(id("globex"), "Globex")).await;
        write(&kernel, &acme.id, 2).await;
        write(&kernel, &globex.id, 2).await;

        let (mut here, mut there) = (home.admin(None).await.unwrap(), eu.admin(None).await.unwrap());
        let at_home = rows(&mut here, &acme.id).await;
        assert!(!at_home.keys().any(|table| table.ends_with("note")), "{mode}: data of the region is here");
        if mode != IsolationMode::Database {
            let regional = rows(&mut there, &acme.id).await;
            assert!(regional.keys().any(|table| table.ends_with("note")), "{mode}: {:?}", regional.keys());
            assert_eq!(rows(&mut there, &globex.id).await, BTreeMap::new());
        }
        let ready: bool = query_scalar("SELECT ready FROM mcp_control.placement WHERE tenant_id = 'acme'")
            .fetch_one(&mut here)
            .await
            .unwrap();
        assert!(!ready, "a program that knows no regions would put its data here");

        tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
        erase(&eraser(&tenancy), &[&acme.id]).await;
        is_gone(&tenancy, &acme, &sealed).await;
        only_tombstones(&rows(&mut here, &acme.id).await, mode.as_str());
        assert_eq!(rows(&mut there, &acme.id).await, BTreeMap::new());
        drop((here, there));
        tenancy.shutdown().await;
        kernel.close().await;
        home.destroy().await.unwrap();
        eu.destroy().await.unwrap();
    }
}
