//! PgBouncer in transaction mode: many clients take turns on two connections, and leave nothing on them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::{
    audit::AuditRecord,
    clock::SystemClock,
    conformance::{PROBE, PgTestDatabase, platform, scope_of},
    scope::Scope,
    sql::{
        IsolationMode,
        postgres::{PgKernel, query, query_as, query_scalar},
    },
};
use sqlx::{Connection as _, PgConnection};

/// Tenants that come at once, on several kernels, and what each does.
const TENANTS: usize = 24;
const KERNELS: usize = 3;
const ROUNDS: usize = 8;
/// Connections that look at what was left; more than the pooler has to the server.
const LOOKS: usize = 12;

async fn tenant(kernel: &PgKernel, id: &str, mode: IsolationMode) -> Scope {
    let scope = scope_of(id).unwrap();
    let mut tx = kernel.control(&platform().unwrap()).await.unwrap();
    kernel.place(&mut tx, scope.tenant(), mode, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&platform().unwrap(), scope.tenant()).await.unwrap();
    scope
}

/// Writes a row and reads all that can be seen, in transactions that end in each of the ways there are.
async fn take_turns(kernel: &PgKernel, scope: &Scope, round: usize) {
    let mut tx = kernel.begin(scope).await.unwrap();
    let id = format!("{}-{round}", scope.tenant());
    let insert = query("INSERT INTO probe (tenant_id, id) VALUES ($1, $2)").bind(scope.tenant().as_str());
    insert.bind(id.clone()).execute(tx.conn()).await.unwrap();
    tx.audit(AuditRecord::done(scope, "probe.make", &id)).await.unwrap();
    match round % 4 {
        0 | 1 => tx.commit().await.unwrap(),
        2 => tx.rollback().await.unwrap(),
        _ => drop(tx),
    }
    let mut read = kernel.read(scope).await.unwrap();
    let seen: Vec<(String,)> =
        query_as("SELECT DISTINCT tenant_id FROM probe").fetch_all(read.conn()).await.unwrap();
    assert_eq!(seen, [(scope.tenant().to_string(),)], "what {} sees", scope.tenant());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tenants_on_two_connections_see_their_own_and_leave_nothing() {
    let mut database = PgTestDatabase::create_pooled().await.unwrap();
    // Two connections for so many: waiting is the point.
    database.config.wait = std::time::Duration::from_secs(60);
    PgKernel::install(&database.config, &[PROBE]).await.unwrap();
    let mut kernels = Vec::new();
    for _ in 0..KERNELS {
        let clock = Arc::new(SystemClock);
        kernels.push(PgKernel::connect(database.config.clone(), &[PROBE], clock).await.unwrap());
    }
    let mut scopes = Vec::new();
    for n in 0..TENANTS {
        // Some with a schema of their own: the search path is set for a transaction as well.
        let mode = if n % 4 == 3 { IsolationMode::Schema } else { IsolationMode::Row };
        scopes.push(tenant(&kernels[0], &format!("t{n}"), mode).await);
    }
    let turns = scopes.into_iter().enumerate().map(|(n, scope)| {
        let kernel = kernels[n % KERNELS].clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                take_turns(&kernel, &scope, round).await;
            }
        })
    });
    for turn in join_all(turns).await {
        turn.unwrap();
    }
    let mut admin = database.admin(None).await.unwrap();
    let connections: i64 = query_scalar("SELECT count(*) FROM pg_stat_activity WHERE usename = $1")
        .bind(database.app_role())
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert!((1..=2).contains(&connections), "the pooler had {connections} connections to the server");
    admin.close().await.unwrap();

    // Whoever comes next on a connection finds it as if nobody had been there. Open at once, they get all of them.
    let app = database.config.app.clone();
    let left = join_all((0..LOOKS).map(|_| look(app.expose()))).await;
    for (tenant, path, named, locks) in left {
        assert_eq!(tenant.unwrap_or_default(), "", "a tenant is still set");
        assert!(matches!(path.as_str(), "" | "public"), "the search path is still {path:?}");
        assert_eq!((named, locks), (0, 0), "prepared statements and advisory locks that were left");
    }
    assert_eq!(database.open_transactions().await.unwrap(), 0);
    for kernel in kernels {
        kernel.close().await;
    }
    database.destroy().await.unwrap();
}

/// What a session shows that was given by the pooler.
async fn look(app: &str) -> (Option<String>, String, i64, i64) {
    let mut conn = PgConnection::connect(app).await.unwrap();
    let seen = query_as(
        "SELECT current_setting('app.tenant_id', true), array_to_string(current_schemas(false), ','),
                (SELECT count(*) FROM pg_prepared_statements),
                (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    conn.close().await.unwrap();
    seen
}
