//! The suites of the audit log and of leases in memory and on SQLite, in both of its
//! isolation modes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use mcp_core::{
    audit::{MemoryAudit, SqliteAudit},
    clock::SystemClock,
    conformance::{AuditHarness, platform, run_audit, run_leases},
    lease::{Leases, MemoryLeases, SqliteLeases},
    scope::TenantId,
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};

async fn suite(mode: IsolationMode) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = SqliteConfig::new(directory.path().join("data"));
    config.modes = vec![mode];
    let kernel = SqliteKernel::open(config, &[], Arc::new(SystemClock)).await.unwrap();
    let (scope, mut tenants) = (platform().unwrap(), Vec::new());
    for i in 0..AuditHarness::TENANTS {
        let tenant = TenantId::parse(&format!("t{i}")).unwrap();
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
        tenants.push(tenant);
    }
    let harness = AuditHarness {
        store: Arc::new(SqliteAudit::new(kernel.clone())),
        leases: Arc::new(SqliteLeases::new(kernel.clone())),
        tenants,
        directory,
    };
    assert_eq!(run_audit(&harness).await.failures(), None);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_in_memory() {
    let store = MemoryAudit::new();
    let tenants: Vec<_> =
        (0..AuditHarness::TENANTS).map(|i| TenantId::parse(&format!("t{i}")).unwrap()).collect();
    for tenant in &tenants {
        store.place(tenant.clone());
    }
    let harness = AuditHarness {
        store: Arc::new(store),
        leases: Arc::new(MemoryLeases::new(Arc::new(SystemClock))),
        tenants,
        directory: tempfile::tempdir().unwrap(),
    };
    assert_eq!(run_audit(&harness).await.failures(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_in_a_file_per_tenant() {
    suite(IsolationMode::Database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_in_shared_tables() {
    suite(IsolationMode::Row).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_in_memory() {
    let leases: Arc<dyn Leases> = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
    assert_eq!(run_leases(&leases).await.failures(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_in_the_control_tables() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path());
    let kernel = SqliteKernel::open(config, &[], Arc::new(SystemClock)).await.unwrap();
    let leases: Arc<dyn Leases> = Arc::new(SqliteLeases::new(kernel.clone()));
    assert_eq!(run_leases(&leases).await.failures(), None);
    kernel.close().await;
}
