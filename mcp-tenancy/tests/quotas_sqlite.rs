//! The suite of quotas on SQLite in its isolation modes, and what only a database can show.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use mcp_core::{
    PlatformScope, Scope,
    clock::ManualClock,
    conformance::{Cut, cancel_at, scope_of},
    limit::{Meter, Period, Quota as _},
    scope::{PrincipalId, TenantId},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use mcp_tenancy::{
    SQLITE_MIGRATIONS,
    conformance::{self, QUOTA_NOON, QUOTA_STORE, QUOTA_TENANTS, QuotaHarness},
    quota::{QuotaConfig, QuotaLimit, QuotaStore as _, QuotaSubject, SqliteQuotaStore},
};
use sqlx::Row as _;
use tempfile::TempDir;

fn operator() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

async fn open(directory: &Path, clock: &ManualClock) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    // Sixty-four writers take turns.
    config.wait = Duration::from_secs(60);
    SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(clock.clone())).await.unwrap()
}

async fn place(kernel: &SqliteKernel, mode: IsolationMode) {
    for tenant in QUOTA_TENANTS {
        let tenant = TenantId::parse(tenant).unwrap();
        let mut tx = kernel.control(&operator()).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&operator(), &tenant).await.unwrap();
    }
}

async fn kept_in(mode: IsolationMode) {
    let directories = Mutex::new(Vec::<TempDir>::new());
    let report = conformance::run(QUOTA_STORE, async || {
        let directory = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(QUOTA_NOON);
        let kernel = open(directory.path(), &clock).await;
        place(&kernel, mode).await;
        directories.lock().unwrap().push(directory);
        let store = Arc::new(SqliteQuotaStore::new(kernel, QuotaConfig::default()));
        Arc::new(QuotaHarness { store, clock })
    });
    if let Some(failures) = report.await.failures() {
        panic!("{failures}");
    }
}

#[tokio::test]
async fn quota_store_in_mode_database() {
    kept_in(IsolationMode::Database).await;
}

#[tokio::test]
async fn quota_store_in_mode_row() {
    kept_in(IsolationMode::Row).await;
}

fn limit(amount: u64) -> QuotaLimit {
    let (subject, meter) = (QuotaSubject::Tenant, Meter::parse("chat.tokens").unwrap());
    QuotaLimit { subject, meter, period: Period::Month, amount }
}

async fn used(store: &SqliteQuotaStore, scope: &Scope) -> u64 {
    store.usage(scope).await.unwrap()[0].used
}

#[tokio::test]
async fn what_was_counted_is_there_after_a_restart() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(QUOTA_NOON));
    let (acme, scope) = (TenantId::parse("acme").unwrap(), scope_of("acme").unwrap());
    let kernel = open(directory.path(), &clock).await;
    place(&kernel, IsolationMode::Database).await;
    let store = SqliteQuotaStore::new(kernel.clone(), QuotaConfig::default());
    store.set(&operator(), &acme, limit(100)).await.unwrap();
    let reserved = store.reserve(&scope, &limit(0).meter, 60).await.unwrap();
    let stored = serde_json::to_string(&reserved).unwrap();
    kernel.close().await;

    let kernel = open(directory.path(), &clock).await;
    let store = SqliteQuotaStore::new(kernel.clone(), QuotaConfig::default());
    assert_eq!(used(&store, &scope).await, 60);
    store.settle(&scope, &serde_json::from_str(&stored).unwrap(), 10).await.unwrap();
    assert_eq!(used(&store, &scope).await, 10);
    kernel.close().await;
}

#[tokio::test]
async fn changes_are_audited_once_and_a_reset_in_the_tenants_own_chain() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(QUOTA_NOON));
    let (acme, scope) = (TenantId::parse("acme").unwrap(), scope_of("acme").unwrap());
    let kernel = open(directory.path(), &clock).await;
    place(&kernel, IsolationMode::Database).await;
    let store = SqliteQuotaStore::new(kernel.clone(), QuotaConfig::default());
    for amount in [100, 100, 200] {
        store.set(&operator(), &acme, limit(amount)).await.unwrap();
    }
    for _ in 0..2 {
        store.remove(&operator(), &acme, &limit(0)).await.unwrap();
    }
    store.reset(&operator(), &acme).await.unwrap();
    let mut read = kernel.control_read(&operator()).await.unwrap();
    let rows = sqlx::query("SELECT action, resource, actor FROM audit ORDER BY seq");
    let rows = rows.fetch_all(read.conn()).await.unwrap();
    let text = |row: &sqlx::sqlite::SqliteRow| {
        (row.get::<String, _>(0), row.get::<String, _>(1), row.get::<String, _>(2))
    };
    let change = |action: &str| {
        (action.to_owned(), "quota/acme/tenant/chat.tokens/month".to_owned(), "operator".to_owned())
    };
    let expected = ["quota.set", "quota.set", "quota.remove"].map(change);
    assert_eq!(rows.iter().map(text).collect::<Vec<_>>(), expected);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(read.conn()).await.unwrap();
    assert_eq!(events, 3);
    drop(read);
    let mut read = kernel.read(&scope).await.unwrap();
    let rows = sqlx::query("SELECT action, resource, actor FROM audit").fetch_all(read.conn()).await.unwrap();
    let expected = ("quota.reset".to_owned(), "tenant/acme".to_owned(), "operator".to_owned());
    assert_eq!(rows.iter().map(text).collect::<Vec<_>>(), [expected]);
}

/// Another process on the same files: its counters are these, and it sees a change of the quotas soon.
#[tokio::test]
async fn two_processes_count_together() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(QUOTA_NOON));
    let (acme, scope) = (TenantId::parse("acme").unwrap(), scope_of("acme").unwrap());
    let one = open(directory.path(), &clock).await;
    place(&one, IsolationMode::Database).await;
    let two = open(directory.path(), &clock).await;
    let [one, two] = [one, two].map(|kernel| SqliteQuotaStore::new(kernel, QuotaConfig::default()));
    one.set(&operator(), &acme, limit(100)).await.unwrap();
    let meter = limit(0).meter;
    let reserved = one.reserve(&scope, &meter, 60).await.unwrap();
    two.reserve(&scope, &meter, 41).await.unwrap_err();
    two.settle(&scope, &reserved, 0).await.unwrap();
    one.reserve(&scope, &meter, 100).await.unwrap();

    one.set(&operator(), &acme, limit(150)).await.unwrap();
    let seen = mcp_core::conformance::eventually("a changed quota is not seen elsewhere", || async {
        Ok(two.usage(&scope).await?[0].limit == 150)
    });
    seen.await.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn a_reservation_cancelled_anywhere_counts_whole_or_not_at_all() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(QUOTA_NOON));
    let (acme, scope) = (TenantId::parse("acme").unwrap(), scope_of("acme").unwrap());
    let kernel = open(directory.path(), &clock).await;
    place(&kernel, IsolationMode::Database).await;
    let store = SqliteQuotaStore::new(kernel.clone(), QuotaConfig::default());
    store.set(&operator(), &acme, limit(1_000_000)).await.unwrap();
    let meter = limit(0).meter;
    for polls in 1..400 {
        store.reset(&operator(), &acme).await.unwrap();
        let cut = cancel_at(polls, store.reserve(&scope, &meter, 7)).await;
        // A commit that had begun is finished before the next transaction begins.
        store.reserve(&scope, &meter, 1).await.unwrap();
        let (used, held) = (used(&store, &scope).await, reservations(&kernel, &scope).await);
        assert!(matches!((used, held), (1, 1) | (8, 2)), "cut at poll {polls}: {used} used, {held} held");
        if let Cut::Completed(reserved) = cut {
            reserved.unwrap();
            assert_eq!(used, 8);
            assert!(polls > 3, "there was nothing to cancel");
            return;
        }
    }
    panic!("no run was long enough to finish");
}

async fn reservations(kernel: &SqliteKernel, scope: &Scope) -> i64 {
    let mut read = kernel.read(scope).await.unwrap();
    let count = sqlx::query_scalar("SELECT count(*) FROM quota_reservation").fetch_one(read.conn());
    count.await.unwrap()
}

#[tokio::test]
async fn what_can_no_longer_be_settled_is_swept_away() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(QUOTA_NOON));
    let (acme, scope) = (TenantId::parse("acme").unwrap(), scope_of("acme").unwrap());
    let kernel = open(directory.path(), &clock).await;
    place(&kernel, IsolationMode::Row).await;
    let store = SqliteQuotaStore::new(kernel.clone(), QuotaConfig::default());
    let each = QuotaLimit { subject: QuotaSubject::EachPrincipal, ..limit(1000) };
    store.set(&operator(), &acme, each).await.unwrap();
    for _ in 0..5 {
        store.reserve(&scope, &limit(0).meter, 1).await.unwrap();
    }
    assert_eq!(reservations(&kernel, &scope).await, 5);
    clock.advance(Duration::from_secs(3600));
    store.reserve(&scope, &limit(0).meter, 1).await.unwrap();
    assert_eq!(reservations(&kernel, &scope).await, 1);
}
