//! The SQL kernel's suite on PostgreSQL, in all three isolation modes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use mcp_core::{
    clock::SystemClock,
    conformance::{PROBE, PgTestDatabase, SqlHarness, run_sql},
    sql::{IsolationMode, postgres::PgKernel},
};

async fn suite(mode: IsolationMode) {
    suite_on(PgTestDatabase::create().await.unwrap(), mode).await;
}

async fn suite_on(database: PgTestDatabase, mode: IsolationMode) {
    let database = Arc::new(database);
    PgKernel::install(&database.config, &[PROBE]).await.unwrap();
    let (config, looked_at) = (database.config.clone(), database.clone());
    let harness = SqlHarness {
        open: Box::new(move || {
            let config = config.clone();
            Box::pin(async move { PgKernel::connect(config, &[PROBE], Arc::new(SystemClock)).await })
        }),
        open_transactions: Box::new(move |_| {
            let database = looked_at.clone();
            Box::pin(async move { database.open_transactions().await })
        }),
        mode,
        guarded: true,
    };
    let report = run_sql(&harness).await;
    assert_eq!(report.failures(), None);
    drop(harness);
    Arc::into_inner(database).unwrap().destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_shared_tables() {
    suite(IsolationMode::Row).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_a_schema_per_tenant() {
    suite(IsolationMode::Schema).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_a_database_per_tenant() {
    suite(IsolationMode::Database).await;
}

/// Behind PgBouncer each transaction may run on another connection, after another tenant's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_pgbouncer() {
    for mode in IsolationMode::ALL {
        suite_on(PgTestDatabase::create_pooled().await.unwrap(), mode).await;
    }
}
