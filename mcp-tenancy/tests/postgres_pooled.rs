//! Every suite of a store on PostgreSQL behind PgBouncer in transaction mode: the app's role has two connections.
//!
//! They need a server: `cargo xtask test` starts one, installs PgBouncer and sets `DATABASE_URL`. Without it they fail.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mcp_core::{
    clock::{Clock, ManualClock, SystemClock},
    conformance::{PgTestDatabase, eventually, platform},
    scope::TenantId,
    sql::{IsolationMode, postgres::PgKernel},
};
use mcp_tenancy::{
    POSTGRES_MIGRATIONS,
    certificate::{CertificateStore, PostgresCertificateStore},
    conformance::{
        self, CERTIFICATE_STORE, Check, ClockedRevocations, ISSUER_STORE, KEY_STORE, MOST_DENIED,
        OPERATOR_KEY_STORE, POLICY_STORE, QUOTA_NOON, QUOTA_STORE, QUOTA_TENANTS, QuotaHarness,
        REFRESH_STORE, REVOCATION_STORE, ROLE_STORE, SIGNING_KEY_STORE, TENANT_STORE, TENANTS,
    },
    issuer::{IssuerStore, PostgresIssuerStore},
    key::{KeyStore, PostgresKeyStore},
    operator::{OperatorKeyStore, PostgresOperatorKeyStore},
    policy::{PolicyStore, PostgresPolicyStore},
    quota::{PostgresQuotaStore, QuotaConfig},
    refresh::{PostgresRefreshStore, RefreshStore},
    revocation::PostgresRevocationStore,
    role::{PostgresRoleStore, RoleStore},
    tenant::{PostgresTenantStore, TenantStore, TierModes},
    token::{PostgresSigningKeyStore, SigningKeyStore},
};

const MODE: IsolationMode = IsolationMode::Row;

/// A database with these tenants, reached through a pooler.
async fn pooled(clock: Arc<dyn Clock>, tenants: &[&str]) -> (PgTestDatabase, PgKernel) {
    let made = PgTestDatabase::create_pooled().await;
    let mut database = made.unwrap_or_else(|error| panic!("{}", error.report()));
    // Many writers share two connections.
    database.config.wait = Duration::from_secs(60);
    PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
    let kernel = PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], clock).await.unwrap();
    for tenant in tenants {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, MODE, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
    (database, kernel)
}

/// Runs a suite, each check on a database of its own.
async fn kept<T: ?Sized>(tenants: &[&str], suite: &[Check<T>], store: impl Fn(PgKernel) -> Arc<T>) {
    let system = || Arc::new(SystemClock) as Arc<dyn Clock>;
    kept_by(&system, tenants, suite, store).await;
}

async fn kept_by<T: ?Sized>(
    clock: &dyn Fn() -> Arc<dyn Clock>,
    tenants: &[&str],
    suite: &[Check<T>],
    store: impl Fn(PgKernel) -> Arc<T>,
) {
    let used = Mutex::new(Vec::new());
    let report = conformance::run(suite, async || {
        let (database, kernel) = pooled(clock(), tenants).await;
        used.lock().unwrap().push((database, kernel.clone()));
        store(kernel)
    })
    .await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
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

#[tokio::test(flavor = "multi_thread")]
async fn tenants() {
    kept(&[], TENANT_STORE, |kernel| {
        Arc::new(PostgresTenantStore::new(kernel, TierModes::all(MODE))) as Arc<dyn TenantStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind() {
    kept(&[], KEY_STORE, |kernel| Arc::new(PostgresKeyStore::new(kernel)) as Arc<dyn KeyStore>).await;
    kept(&[], OPERATOR_KEY_STORE, |kernel| {
        Arc::new(PostgresOperatorKeyStore::new(kernel)) as Arc<dyn OperatorKeyStore>
    })
    .await;
    kept(&[], SIGNING_KEY_STORE, |kernel| {
        Arc::new(PostgresSigningKeyStore::new(kernel)) as Arc<dyn SigningKeyStore>
    })
    .await;
    kept(&[], CERTIFICATE_STORE, |kernel| {
        Arc::new(PostgresCertificateStore::new(kernel)) as Arc<dyn CertificateStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_their_issuers() {
    kept(&[], REFRESH_STORE, |kernel| Arc::new(PostgresRefreshStore::new(kernel)) as Arc<dyn RefreshStore>)
        .await;
    kept(&[], ISSUER_STORE, |kernel| Arc::new(PostgresIssuerStore::new(kernel)) as Arc<dyn IssuerStore>)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_policies() {
    kept(&TENANTS, ROLE_STORE, |kernel| Arc::new(PostgresRoleStore::new(kernel)) as Arc<dyn RoleStore>).await;
    kept(&TENANTS, POLICY_STORE, |kernel| Arc::new(PostgresPolicyStore::new(kernel)) as Arc<dyn PolicyStore>)
        .await;
}

/// What these two do depends on the time, which their suites move.
#[tokio::test(flavor = "multi_thread")]
async fn quotas_and_revocations() {
    let clock = Mutex::new(ManualClock::new(QUOTA_NOON));
    let fresh = || {
        let made = ManualClock::new(QUOTA_NOON);
        *clock.lock().unwrap() = made.clone();
        Arc::new(made) as Arc<dyn Clock>
    };
    kept_by(&fresh, &QUOTA_TENANTS, QUOTA_STORE, |kernel| {
        let store = Arc::new(PostgresQuotaStore::new(kernel, QuotaConfig::default()));
        Arc::new(QuotaHarness { store, clock: clock.lock().unwrap().clone() })
    })
    .await;
    kept_by(&fresh, &[], REVOCATION_STORE, |kernel| {
        let store = Arc::new(PostgresRevocationStore::new(kernel).with_max_denied(MOST_DENIED));
        Arc::new(ClockedRevocations { store, clock: clock.lock().unwrap().clone() })
    })
    .await;
}
