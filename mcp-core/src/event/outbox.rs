//! Where committed events wait to be published, and where a tenant reads them afterwards.

use async_trait::async_trait;
use serde::Serialize;

use super::Event;
use crate::{
    audit::Chain,
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    scope::{PlatformScope, Scope},
};

/// Most events a page of a feed holds.
pub const MAX_FEED: u32 = 200;

/// A committed event that has not been published, as far as the store knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// Its place in the table.
    pub seq: i64,
    /// When it was emitted.
    pub created_at: Timestamp,
    /// The event.
    pub event: Event,
}

/// The outboxes of the platform and of all tenants, as a relay sees them.
///
/// # What it promises
/// 1. [`waiting`](Self::waiting) shows the events of a chain in the order of their commits: once it has shown
///    one, none comes before it. So events of transactions that exclude each other keep their order.
/// 2. An event waits until [`published`](Self::published) has taken it away, and is never skipped.
/// 3. `published` numbers the events of a chain 1, 2, 3 … and refuses a fence lower than one it has seen.
/// 4. [`prune`](Self::prune) removes published events only, and never lets a number be given twice.
#[async_trait]
pub trait OutboxStore: Send + Sync + std::fmt::Debug {
    /// The next chains behind `after`, at most `limit`: the platform's, then those of all tenants that have a
    /// place, in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    async fn chains(&self, scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>>;

    /// Waits until this process has committed events, unless it has since the last call, and names their
    /// chains. It is a hint: what other processes commit is found by looking.
    ///
    /// # Cancellation
    /// No hint is lost.
    async fn committed(&self) -> Vec<Chain>;

    /// The next events of a chain, at most `limit`.
    ///
    /// # Errors
    /// [`Corrupted`](ErrorKind::Corrupted) if one cannot be read; those of the store.
    async fn waiting(&self, scope: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Waiting>>;

    /// How many events of a chain wait.
    ///
    /// # Errors
    /// Those of the store.
    async fn lag(&self, scope: &PlatformScope, chain: &Chain) -> Result<u64>;

    /// Records that these events, the first that waited, were published at `now`.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if a relay with a higher fence has published on this chain; those of
    /// the store.
    async fn published(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        events: &[Waiting],
        fence: i64,
        now: Timestamp,
    ) -> Result<()>;

    /// Removes up to `limit` events of a chain that were published before `before`; says how many.
    ///
    /// # Errors
    /// Those of the store.
    async fn prune(&self, scope: &PlatformScope, chain: &Chain, before: Timestamp, limit: u32)
    -> Result<u64>;
}

/// A published event with its number.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct FeedItem {
    /// Its number in its tenant's feed: 1, 2, 3 …
    pub position: i64,
    /// What happened.
    pub event: Event,
}

/// A tenant's published events, as long as they are kept.
#[async_trait]
pub trait EventFeed: Send + Sync + std::fmt::Debug {
    /// The next events behind `position` (0: from the oldest that is kept), at most `limit`, brought into 1
    /// to [`MAX_FEED`]. An event once seen here stays where it is.
    ///
    /// # Errors
    /// Those of the store.
    async fn after(&self, scope: &Scope, position: i64, limit: u32) -> Result<Vec<FeedItem>>;

    /// The number of the newest event; 0 if there was none.
    ///
    /// # Errors
    /// Those of the store.
    async fn newest(&self, scope: &Scope) -> Result<i64>;
}

/// Refuses a relay whose token is older than the one that published last.
pub(super) fn require_fence(last: i64, fence: i64) -> Result<()> {
    if fence >= last {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "event.published", "another relay has taken over this chain"))
}

/// A stored event.
pub(super) fn parse(envelope: &str) -> Result<Event> {
    serde_json::from_str(envelope).map_err(|error| {
        Error::new(ErrorKind::Corrupted, "event.read", "a stored event is damaged").with_source(error)
    })
}

/// Rows of events that wait: place, time, envelope.
pub(super) type WaitingRow = (i64, i64, String);

pub(super) fn waiting((seq, created_at, envelope): WaitingRow) -> Result<Waiting> {
    Ok(Waiting { seq, created_at: Timestamp::from_micros(created_at), event: parse(&envelope)? })
}

pub(super) fn item((position, envelope): (i64, String)) -> Result<FeedItem> {
    Ok(FeedItem { position, event: parse(&envelope)? })
}
