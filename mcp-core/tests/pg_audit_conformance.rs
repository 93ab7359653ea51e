//! The suites of the audit log and of leases on PostgreSQL, and what verification finds there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use mcp_core::{
    audit::{
        AuditKey, AuditRecord, AuditStore as _, Chain, PgAudit, ProblemKind, Sealer, SealerConfig, verify,
    },
    clock::SystemClock,
    conformance::{AuditHarness, PgTestDatabase, platform, run_audit, run_leases, scope_of},
    lease::{Leases, PgLeases},
    scope::TenantId,
    sql::{IsolationMode, postgres::PgKernel},
};

async fn kernel(database: &PgTestDatabase) -> PgKernel {
    PgKernel::install(&database.config, &[]).await.unwrap();
    PgKernel::connect(database.config.clone(), &[], Arc::new(SystemClock)).await.unwrap()
}

async fn tenant(kernel: &PgKernel, name: &str, mode: IsolationMode) -> TenantId {
    let (scope, tenant) = (platform().unwrap(), TenantId::parse(name).unwrap());
    let mut tx = kernel.control(&scope).await.unwrap();
    kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&scope, &tenant).await.unwrap();
    tenant
}

async fn suite(mode: IsolationMode) {
    suite_on(PgTestDatabase::create().await.unwrap(), mode).await;
}

async fn suite_on(database: PgTestDatabase, mode: IsolationMode) {
    let kernel = kernel(&database).await;
    let mut tenants = Vec::new();
    for i in 0..AuditHarness::TENANTS {
        tenants.push(tenant(&kernel, &format!("t{i}"), mode).await);
    }
    let harness = AuditHarness {
        store: Arc::new(PgAudit::new(kernel.clone())),
        leases: Arc::new(PgLeases::new(kernel.clone())),
        tenants,
        directory: tempfile::tempdir().unwrap(),
    };
    assert_eq!(run_audit(&harness).await.failures(), None);
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_in_shared_tables() {
    suite(IsolationMode::Row).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_in_a_schema_per_tenant() {
    suite(IsolationMode::Schema).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_in_a_database_per_tenant() {
    suite(IsolationMode::Database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_behind_pgbouncer() {
    suite_on(PgTestDatabase::create_pooled().await.unwrap(), IsolationMode::Row).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_in_the_control_tables() {
    leases_on(PgTestDatabase::create().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_behind_pgbouncer() {
    leases_on(PgTestDatabase::create_pooled().await.unwrap()).await;
}

async fn leases_on(database: PgTestDatabase) {
    let kernel = kernel(&database).await;
    let leases: Arc<dyn Leases> = Arc::new(PgLeases::new(kernel.clone()));
    assert_eq!(run_leases(&leases).await.failures(), None);
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_superuser_changes_is_found() {
    for (sql, kind, seq) in [
        ("DELETE FROM audit WHERE resource = 'note/1'", ProblemKind::RecordRemoved, Some(2)),
        ("UPDATE audit SET actor = 'x' WHERE resource = 'note/1'", ProblemKind::RecordAltered, Some(2)),
        ("DELETE FROM audit_seal WHERE seq = 2", ProblemKind::LinkRemoved, Some(2)),
        (
            "DELETE FROM audit WHERE resource = 'note/2'; DELETE FROM audit_seal WHERE seq = 3;
             DELETE FROM audit_checkpoint WHERE seq = 3",
            ProblemKind::Truncated,
            Some(3),
        ),
        (
            "INSERT INTO audit (tenant_id, id, time, actor, action, resource, outcome, request_id, detail_digest)
             SELECT tenant_id, '01900000-0000-7000-8000-000000000000', time, actor, action, resource, outcome,
             request_id, detail_digest FROM audit LIMIT 1",
            ProblemKind::RecordInserted,
            None,
        ),
        (
            "INSERT INTO audit_pending (tenant_id, seq, record_id) VALUES ('acme', 9, 'gone')",
            ProblemKind::RecordRemoved,
            None,
        ),
    ] {
        let database = PgTestDatabase::create().await.unwrap();
        let kernel = kernel(&database).await;
        tenant(&kernel, "acme", IsolationMode::Database).await;
        let store = Arc::new(PgAudit::new(kernel.clone()));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checkpoints.jsonl");
        let (leases, key) = (Arc::new(PgLeases::new(kernel.clone())), AuditKey::ephemeral().unwrap());
        let config = SealerConfig::new(&file);
        let sealer = Sealer::start(store.clone(), leases, key.clone(), Arc::new(SystemClock), config).unwrap();
        let scope = scope_of("acme").unwrap();
        for i in 0..3 {
            let mut tx = kernel.begin(&scope).await.unwrap();
            tx.audit(AuditRecord::done(&scope, "note.create", format!("note/{i}"))).await.unwrap();
            tx.commit().await.unwrap();
        }
        mcp_core::conformance::eventually("the records were not sealed", async || {
            sealer.seal_now().await?;
            let chain = Chain::Tenant(TenantId::parse("acme")?);
            Ok(store.unsealed(&platform()?, &chain).await? == 0)
        })
        .await
        .unwrap();
        sealer.shutdown().await;

        let mut conn = database.admin(Some("acme")).await.unwrap();
        sqlx::raw_sql("SET search_path TO mcp_data").execute(&mut conn).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        sqlx::Connection::close(conn).await.unwrap();
        let report = verify(&*store, &file, &[key.public()]).await.unwrap();
        let found = report.problems.iter().any(|problem| (problem.kind, problem.seq) == (kind, seq));
        assert!(found, "{sql}: {:?}", report.problems);
        kernel.close().await;
        database.destroy().await.unwrap();
    }
}
