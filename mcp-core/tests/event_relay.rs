//! The bus in memory, and the relay on SQLite: nothing lost, order kept, whatever dies in between.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{
    Error, PlatformScope, Result,
    audit::Chain,
    clock::{ManualClock, SystemClock, Timestamp},
    conformance::{eventually, platform, run_bus, scope_of},
    event::{
        BusConfig, Event, EventBus, EventFeed, MemoryEventBus, OutboxRelay, OutboxStore, RelayConfig,
        SqliteOutbox, Subscription, Waiting,
    },
    lease::SqliteLeases,
    scope::TenantId,
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use serde_json::json;

#[tokio::test]
async fn the_bus_in_memory() {
    let ack_wait = Duration::from_millis(200);
    let config = BusConfig { capacity: 16, ack_wait, max_attempts: 3, ..BusConfig::default() };
    let report = run_bus(|| Arc::new(MemoryEventBus::new(config)) as Arc<dyn EventBus>).await;
    assert_eq!(report.failures(), None);
}

async fn open(directory: &Path) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    let kernel = SqliteKernel::open(config, &[], Arc::new(SystemClock)).await.unwrap();
    for (tenant, mode) in
        [("acme", IsolationMode::Database), ("beta", IsolationMode::Row), ("globex", IsolationMode::Row)]
    {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
    kernel
}

async fn emit(kernel: &SqliteKernel, tenant: &str, numbers: std::ops::Range<u64>) {
    let scope = scope_of(tenant).unwrap();
    for n in numbers {
        let mut tx = kernel.begin(&scope).await.unwrap();
        tx.emit(Event::new("test.happened.v1", "/test", json!(n)).with_subject(tenant)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// Takes `count` deliveries.
async fn take(subscription: &mut Box<dyn Subscription>, count: usize) -> Vec<(String, u64)> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), subscription.next()).await;
        let delivery = next.unwrap_or_else(|_| panic!("only {taken:?} came")).unwrap();
        taken.push((delivery.chain.to_string(), delivery.event.data().as_u64().unwrap()));
        subscription.ack(delivery.token).await.unwrap();
    }
    taken
}

fn of<'a>(all: &'a [(String, u64)], tenant: &'a str) -> Vec<u64> {
    all.iter().filter(|(chain, _)| chain == tenant).map(|(_, n)| *n).collect()
}

fn relay(
    kernel: &SqliteKernel,
    store: Arc<dyn OutboxStore>,
    bus: &MemoryEventBus,
    config: RelayConfig,
) -> OutboxRelay {
    let leases = Arc::new(SqliteLeases::new(kernel.clone()));
    OutboxRelay::start(store, Arc::new(bus.clone()), leases, Arc::new(SystemClock), config).unwrap()
}

/// A look at all outboxes only at the start: what comes later comes because a commit wakes the relay.
fn lazy() -> RelayConfig {
    RelayConfig { interval: Duration::from_secs(3600), ..RelayConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_published_at_once_and_each_tenant_reads_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    emit(&kernel, "acme", 0..3).await;
    let (bus, store) = (MemoryEventBus::default(), Arc::new(SqliteOutbox::new(kernel.clone())));
    let mut subscription = bus.subscribe(&platform().unwrap(), "test").await.unwrap();
    let relay = relay(&kernel, store.clone(), &bus, lazy());
    let mut hints = relay.hints().subscribe();
    let before = take(&mut subscription, 3).await;
    assert_eq!(of(&before, "acme"), [0, 1, 2]);

    emit(&kernel, "beta", 0..3).await;
    emit(&kernel, "acme", 3..5).await;
    emit(&kernel, "globex", 0..1).await;
    let all = take(&mut subscription, 6).await;
    assert_eq!(
        (of(&all, "beta"), of(&all, "acme"), of(&all, "globex")),
        (vec![0, 1, 2], vec![3, 4], vec![0])
    );
    let mut told = std::collections::HashSet::new();
    while told.len() < 3 {
        told.insert(hints.recv().await.unwrap().to_string());
    }
    // Numbered after they were published, a moment later.
    let round = relay.relay_now().await.unwrap();
    assert_eq!((round.left, round.failed), (0, 0));
    for (tenant, count) in [("acme", 5), ("beta", 3), ("globex", 1)] {
        let scope = scope_of(tenant).unwrap();
        let feed = store.after(&scope, 0, 100).await.unwrap();
        let read: Vec<_> = feed.iter().map(|item| (item.position, item.event.data().as_u64())).collect();
        let wanted: Vec<_> = (1..=count).map(|n| (n, Some(n as u64 - 1))).collect();
        assert_eq!(read, wanted, "the feed of {tenant}");
        assert_eq!(store.newest(&scope).await.unwrap(), count);
        assert_eq!(store.after(&scope, count - 1, 100).await.unwrap().len(), 1);
    }
    relay.shutdown().await;
    kernel.close().await;
}

/// An outbox whose relay dies between publishing and recording it, several times.
#[derive(Debug)]
struct Dying(SqliteOutbox, AtomicU32);

#[async_trait]
impl OutboxStore for Dying {
    async fn chains(&self, scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>> {
        self.0.chains(scope, after, limit).await
    }
    async fn committed(&self) -> Vec<Chain> {
        self.0.committed().await
    }
    async fn waiting(&self, scope: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Waiting>> {
        self.0.waiting(scope, chain, limit).await
    }
    async fn lag(&self, scope: &PlatformScope, chain: &Chain) -> Result<u64> {
        self.0.lag(scope, chain).await
    }
    async fn published(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        events: &[Waiting],
        fence: i64,
        now: Timestamp,
    ) -> Result<()> {
        let alive = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match alive {
            Ok(_) => Err(Error::internal("test.died", "the process died")),
            Err(_) => self.0.published(scope, chain, events, fence, now).await,
        }
    }
    async fn prune(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64> {
        self.0.prune(scope, chain, before, limit).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_after_publishing_publishes_again_in_order_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    emit(&kernel, "acme", 0..10).await;
    let bus = MemoryEventBus::default();
    let mut subscription = bus.subscribe(&platform().unwrap(), "test").await.unwrap();
    let config = || RelayConfig { batch: 4, ..lazy() };
    let outbox = SqliteOutbox::new(kernel.clone());
    let dying = relay(&kernel, Arc::new(Dying(outbox.clone(), AtomicU32::new(u32::MAX))), &bus, config());
    assert_eq!(dying.relay_now().await.unwrap().published, 0);
    // Dropped as a process that is killed: what it held is gone, what it published is not.
    dying.shutdown().await;
    let scope = scope_of("acme").unwrap();
    assert_eq!(outbox.newest(&scope).await.unwrap(), 0);

    let relay = relay(&kernel, Arc::new(outbox.clone()), &bus, config());
    relay.relay_now().await.unwrap();
    // Each try published the first batch; the relay that lived published everything.
    let mut all = Vec::new();
    while all.last() != Some(&9) {
        all.extend(of(&take(&mut subscription, 1).await, "acme"));
    }
    let (again, last) = all.split_at(all.len() - 10);
    assert!(again.len() >= 4 && again.chunks(4).all(|batch| batch == [0, 1, 2, 3]), "{again:?}");
    assert_eq!(last, (0..10).collect::<Vec<_>>());
    let feed = outbox.after(&scope, 0, 100).await.unwrap();
    let read: Vec<_> = feed.iter().filter_map(|item| item.event.data().as_u64()).collect();
    assert_eq!(read, (0..10).collect::<Vec<_>>(), "each is in the feed once");
    relay.shutdown().await;
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_relay_cannot_record_what_a_later_one_has_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    emit(&kernel, "acme", 0..2).await;
    let (store, scope) = (SqliteOutbox::new(kernel.clone()), platform().unwrap());
    let chain = Chain::Tenant(TenantId::parse("acme").unwrap());
    let waiting = store.waiting(&scope, &chain, 10).await.unwrap();
    let now = Timestamp::from_micros(1);
    store.published(&scope, &chain, &waiting[..1], 7, now).await.unwrap();
    let late = store.published(&scope, &chain, &waiting[1..], 6, now).await.unwrap_err();
    assert_eq!(late.kind(), mcp_core::ErrorKind::Conflict);
    assert_eq!(store.lag(&scope, &chain).await.unwrap(), 1);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_and_published_is_pruned_and_no_number_is_given_twice() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    emit(&kernel, "acme", 0..10).await;
    let bus = MemoryEventBus::default();
    let store = Arc::new(SqliteOutbox::new(kernel.clone()));
    let clock = ManualClock::new(Timestamp::from_micros(0));
    let config = RelayConfig { batch: 3, prune_interval: Duration::from_nanos(1), ..lazy() };
    let leases = Arc::new(SqliteLeases::new(kernel.clone()));
    let relay =
        OutboxRelay::start(store.clone(), Arc::new(bus), leases, Arc::new(clock.clone()), config).unwrap();
    let scope = scope_of("acme").unwrap();
    relay.relay_now().await.unwrap();
    assert_eq!(store.after(&scope, 0, 100).await.unwrap().len(), 10);
    clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    emit(&kernel, "acme", 10..12).await;
    eventually("old events are not pruned", || async {
        relay.relay_now().await?;
        let left: Vec<_> = store.after(&scope, 0, 100).await?.iter().map(|item| item.position).collect();
        Ok(left == [11, 12])
    })
    .await
    .unwrap_or_else(|failure| panic!("{failure}"));
    clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    relay.relay_now().await.unwrap();
    emit(&kernel, "acme", 12..13).await;
    relay.relay_now().await.unwrap();
    assert_eq!(store.newest(&scope).await.unwrap(), 13);
    relay.shutdown().await;
    kernel.close().await;
}
