//! The relay on PostgreSQL: commit order, in every isolation mode.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use mcp_core::{
    Scope,
    clock::SystemClock,
    conformance::{PgTestDatabase, eventually, platform, scope_of},
    event::{Event, EventFeed, MemoryEventBus, OutboxRelay, PgOutbox, RelayConfig},
    lease::PgLeases,
    scope::TenantId,
    sql::{
        IsolationMode,
        postgres::{PgKernel, TenantTx},
    },
};
use serde_json::json;

async fn begun(kernel: &PgKernel, scope: &Scope, n: u64) -> TenantTx {
    let mut tx = kernel.begin(scope).await.unwrap();
    tx.emit(Event::new("test.happened.v1", "/test", json!(n))).await.unwrap();
    tx
}

async fn order_is_kept_in(mode: IsolationMode) {
    let database = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
    PgKernel::install(&database.config, &[]).await.unwrap();
    let kernel = PgKernel::connect(database.config.clone(), &[], Arc::new(SystemClock)).await.unwrap();
    for tenant in ["acme", "globex"] {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
    let (store, leases) = (Arc::new(PgOutbox::new(kernel.clone())), Arc::new(PgLeases::new(kernel.clone())));
    let bus = Arc::new(MemoryEventBus::default());
    let config = RelayConfig { interval: std::time::Duration::from_secs(3600), ..RelayConfig::default() };
    let relay = OutboxRelay::start(store.clone(), bus, leases, Arc::new(SystemClock), config).unwrap();
    let (acme, globex) = (scope_of("acme").unwrap(), scope_of("globex").unwrap());
    let seen = async |scope: &Scope| -> Vec<(i64, u64)> {
        let feed = store.after(scope, 0, 100).await.unwrap();
        feed.iter().map(|item| (item.position, item.event.data().as_u64().unwrap())).collect()
    };

    // The first to write commits last: nothing may be published past it, and it not be skipped.
    let slow = begun(&kernel, &acme, 1).await;
    begun(&kernel, &acme, 2).await.commit().await.unwrap();
    begun(&kernel, &globex, 7).await.commit().await.unwrap();
    relay.relay_now().await.unwrap();
    assert_eq!(seen(&acme).await, []);
    slow.commit().await.unwrap();
    // The horizon is the whole server's: transactions of other tests hold it back for a moment.
    let shown = async |scope: &Scope, wanted: &[(i64, u64)]| {
        let looked = eventually("an event is not published", || async {
            relay.relay_now().await?;
            Ok(seen(scope).await == wanted)
        });
        looked.await.unwrap_or_else(|failure| panic!("{failure}: {wanted:?}"));
    };
    shown(&acme, &[(1, 1), (2, 2)]).await;
    shown(&globex, &[(1, 7)]).await;

    begun(&kernel, &acme, 3).await.rollback().await.unwrap();
    begun(&kernel, &acme, 4).await.commit().await.unwrap();
    shown(&acme, &[(1, 1), (2, 2), (3, 4)]).await;
    assert_eq!(relay.relay_now().await.unwrap().failed, 0);
    relay.shutdown().await;
    kernel.close().await;
    database.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_in_mode_row() {
    order_is_kept_in(IsolationMode::Row).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_in_mode_schema() {
    order_is_kept_in(IsolationMode::Schema).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_in_mode_database() {
    order_is_kept_in(IsolationMode::Database).await;
}
