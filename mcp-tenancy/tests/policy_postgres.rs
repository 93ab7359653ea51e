//! The suites of roles and policies on PostgreSQL in every isolation mode.
//!
//! They need a server: `cargo xtask test` starts one and sets `DATABASE_URL`. Without it they fail.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::{Arc, Mutex};

use mcp_core::{
    clock::SystemClock,
    conformance::{PgTestDatabase, eventually, platform},
    scope::TenantId,
    sql::{IsolationMode, postgres::PgKernel},
};
use mcp_tenancy::{
    POSTGRES_MIGRATIONS,
    conformance::{self, Check, POLICY_STORE, ROLE_STORE, TENANTS},
    policy::{PolicyStore, PostgresPolicyStore},
    role::{PostgresRoleStore, RoleStore},
};

async fn database(mode: IsolationMode) -> (PgTestDatabase, PgKernel) {
    let mut database = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
    // Many writers share four connections.
    database.config.wait = std::time::Duration::from_secs(60);
    PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
    let kernel = PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], Arc::new(SystemClock))
        .await
        .unwrap();
    for tenant in TENANTS {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
    (database, kernel)
}

async fn kept_in<T: ?Sized>(mode: IsolationMode, suite: &[Check<T>], store: impl Fn(PgKernel) -> Arc<T>) {
    let used = Mutex::new(Vec::new());
    let report = conformance::run(suite, async || {
        let (database, kernel) = database(mode).await;
        used.lock().unwrap().push((database, kernel.clone()));
        store(kernel)
    })
    .await;
    if let Some(failures) = report.failures() {
        panic!("{mode:?}: {failures}");
    }
    for (database, kernel) in used.into_inner().unwrap() {
        let quiet = eventually("a transaction is left open", || async {
            Ok(database.open_transactions().await? == 0)
        });
        quiet.await.unwrap_or_else(|failure| panic!("{failure}"));
        kernel.close().await;
        database.destroy().await.unwrap();
    }
}

fn roles(kernel: PgKernel) -> Arc<dyn RoleStore> {
    Arc::new(PostgresRoleStore::new(kernel))
}

fn policies(kernel: PgKernel) -> Arc<dyn PolicyStore> {
    Arc::new(PostgresPolicyStore::new(kernel))
}

#[tokio::test(flavor = "multi_thread")]
async fn role_store_in_mode_row() {
    kept_in(IsolationMode::Row, ROLE_STORE, roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn role_store_in_mode_schema() {
    kept_in(IsolationMode::Schema, ROLE_STORE, roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn role_store_in_mode_database() {
    kept_in(IsolationMode::Database, ROLE_STORE, roles).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_store_in_mode_row() {
    kept_in(IsolationMode::Row, POLICY_STORE, policies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_store_in_mode_schema() {
    kept_in(IsolationMode::Schema, POLICY_STORE, policies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_store_in_mode_database() {
    kept_in(IsolationMode::Database, POLICY_STORE, policies).await;
}
