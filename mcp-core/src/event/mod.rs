//! Events: what happened, in the envelope of CloudEvents 1.0, and how it is told.
//!
//! An event is emitted inside the transaction that changes the state it tells of (`TenantTx::emit`), so it
//! is published if and only if the change was committed. An [`OutboxRelay`] publishes committed events on an
//! [`EventBus`], in the order of their commits and at least once, numbers them, and prunes what is old. A
//! tenant reads its own numbered events through an [`EventFeed`].

mod bus;
#[cfg(feature = "sql")]
mod commits;
mod envelope;
#[cfg(feature = "sql")]
mod hints;
mod memory;
#[cfg(feature = "sql")]
mod outbox;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sql")]
mod relay;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use bus::{DeadLetter, Delivery, EventBus, Subscription};
#[cfg(feature = "sql")]
pub(crate) use commits::Commits;
pub use envelope::{Event, MAX_EVENT_BYTES};
#[cfg(feature = "sql")]
pub use hints::FeedHints;
pub use memory::{BusConfig, MemoryEventBus};
#[cfg(feature = "sql")]
pub use outbox::{EventFeed, FeedItem, MAX_FEED, OutboxStore, Waiting};
#[cfg(feature = "postgres")]
pub use postgres::PgOutbox;
#[cfg(feature = "sql")]
pub use relay::{OutboxRelay, RELAY_LEASE, RelayConfig, RelayRound};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteOutbox;
