//! The suite of quotas on PostgreSQL in every isolation mode.
//!
//! It needs a server: `cargo xtask test` starts one and sets `DATABASE_URL`. Without it it fails.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use mcp_core::{
    PlatformScope,
    clock::ManualClock,
    conformance::{PgTestDatabase, eventually, scope_of},
    limit::{Meter, Period, Quota as _},
    scope::{PrincipalId, TenantId},
    sql::{IsolationMode, postgres::PgKernel},
};
use mcp_tenancy::{
    POSTGRES_MIGRATIONS,
    conformance::{self, QUOTA_NOON, QUOTA_STORE, QUOTA_TENANTS, QuotaHarness},
    quota::{PostgresQuotaStore, QuotaConfig, QuotaLimit, QuotaStore as _, QuotaSubject},
};

fn operator() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

async fn database(mode: IsolationMode, clock: &ManualClock) -> (PgTestDatabase, PgKernel) {
    let mut database = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
    // Sixty-four that reserve share four connections.
    database.config.wait = Duration::from_secs(60);
    PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
    let kernel = connect(&database, clock).await;
    for tenant in QUOTA_TENANTS {
        let tenant = TenantId::parse(tenant).unwrap();
        let mut tx = kernel.control(&operator()).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&operator(), &tenant).await.unwrap();
    }
    (database, kernel)
}

async fn connect(database: &PgTestDatabase, clock: &ManualClock) -> PgKernel {
    let clock = Arc::new(clock.clone());
    PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], clock).await.unwrap()
}

async fn kept_in(mode: IsolationMode) {
    let used = Mutex::new(Vec::new());
    let report = conformance::run(QUOTA_STORE, async || {
        let clock = ManualClock::new(QUOTA_NOON);
        let (database, kernel) = database(mode, &clock).await;
        used.lock().unwrap().push((database, kernel.clone()));
        let store = Arc::new(PostgresQuotaStore::new(kernel, QuotaConfig::default()));
        Arc::new(QuotaHarness { store, clock })
    });
    if let Some(failures) = report.await.failures() {
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
async fn quota_store_in_mode_row() {
    kept_in(IsolationMode::Row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_store_in_mode_schema() {
    kept_in(IsolationMode::Schema).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_store_in_mode_database() {
    kept_in(IsolationMode::Database).await;
}

/// Sixty-four reserve and settle at once, on two replicas, each in a task of its own.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_count_exactly() {
    let clock = ManualClock::new(QUOTA_NOON);
    let (database, kernel) = database(IsolationMode::Row, &clock).await;
    let other = connect(&database, &clock).await;
    let stores =
        [&kernel, &other].map(|kernel| PostgresQuotaStore::new(kernel.clone(), QuotaConfig::default()));
    let (acme, meter) = (TenantId::parse("acme").unwrap(), Meter::parse("chat.tokens").unwrap());
    let scope = scope_of("acme").unwrap();
    let of = |subject, period, amount| QuotaLimit { subject, meter: meter.clone(), period, amount };
    stores[0].set(&operator(), &acme, of(QuotaSubject::Tenant, Period::Day, 100)).await.unwrap();
    stores[0].set(&operator(), &acme, of(QuotaSubject::EachPrincipal, Period::Month, 1000)).await.unwrap();
    let tasks = (0..64).map(|n| {
        let (store, scope, meter) = (stores[n % 2].clone(), scope.clone(), meter.clone());
        tokio::spawn(async move { store.reserve(&scope, &meter, 7).await })
    });
    let reserved: Vec<_> = join_all(tasks).await.into_iter().filter_map(|task| task.unwrap().ok()).collect();
    assert_eq!(reserved.len(), 14, "of 64 at once, 14 fit 7 into 100");
    let tasks = reserved.into_iter().enumerate().map(|(n, reservation)| {
        let (store, scope) = (stores[n % 2].clone(), scope.clone());
        tokio::spawn(async move { store.settle(&scope, &reservation, n as u64 % 3).await })
    });
    for task in join_all(tasks).await {
        task.unwrap().unwrap();
    }
    let settled: u64 = (0..14).map(|n| n % 3).sum();
    for usage in stores[1].usage(&scope).await.unwrap() {
        assert_eq!(usage.used, settled, "{usage:?}");
    }
    for kernel in [kernel, other] {
        kernel.close().await;
    }
    database.destroy().await.unwrap();
}
