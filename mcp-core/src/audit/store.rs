//! Where audit records and their seals are kept, and the pure part of sealing.

use async_trait::async_trait;
use uuid::Uuid;

use super::{AuditFilter, AuditKey, Chain, Checkpoint, Entry};
use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    scope::PlatformScope,
};

/// A record with its place in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The place in the table: unique and ascending within a chain, not gapless.
    pub record_seq: i64,
    /// The record.
    pub entry: Entry,
}

/// One link of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The link's number in its chain: 1, 2, 3 …
    pub seq: i64,
    /// The record it links.
    pub record_id: Uuid,
    /// That record's place in its table.
    pub record_seq: i64,
    /// The hash of the link before; zeros in the first.
    pub prev_hash: [u8; 32],
    /// This link's hash: [`Entry::link`].
    pub hash: [u8; 32],
}

/// A link with the record it names, where that is still there.
#[derive(Debug, Clone)]
pub struct SealedEntry {
    /// The link.
    pub seal: Seal,
    /// The record.
    pub record: Option<StoredEntry>,
}

/// The last link of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Its number; 0 if nothing has been sealed.
    pub seq: i64,
    /// Its hash; zeros if nothing has been sealed.
    pub hash: [u8; 32],
    /// The fencing token of whoever sealed it.
    pub fence: i64,
}

/// How to seal one batch.
#[derive(Debug)]
pub struct SealOrder<'a> {
    /// The sealer's fencing token.
    pub fence: i64,
    /// When.
    pub now: Timestamp,
    /// At most this many records.
    pub limit: u32,
    /// Signs the checkpoint.
    pub key: &'a AuditKey,
}

/// What sealing a batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBatch {
    /// Records that were linked.
    pub sealed: u64,
    /// Records that remain.
    pub left: u64,
}

/// A record that is not sealed and never will be, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stray {
    /// It was put in where the sealer had passed.
    Inserted(String),
    /// It was removed before it could be sealed.
    Removed(String),
}

/// The direction and place of a page of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Begin behind this record; at the start without.
    pub after: Option<Uuid>,
    /// The latest first, rather than the earliest.
    pub newest_first: bool,
}

/// The most records that one call of [`AuditStore::find`] looks at in a [`page`](super::page).
pub const MAX_SCAN: u32 = 10_000;

/// Which records are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Where to look, and in which direction.
    pub window: Window,
    /// What a record must be like.
    pub filter: &'a AuditFilter,
    /// At most this many records are returned.
    pub limit: u32,
    /// At most this many records are looked at, so that a filter that nothing matches costs no more than one
    /// that everything does.
    pub scan: u32,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The records that match, in the order of their places in the table.
    pub records: Vec<StoredEntry>,
    /// The last record that was looked at, where more stand behind it: the window of the next search begins
    /// there. There may be one although no record matched.
    pub next: Option<Uuid>,
}

impl Found {
    /// Of the records that match, read with one more than the limit; `scanned` is the last that was looked
    /// at, where more stand behind it.
    pub(crate) fn of(mut records: Vec<StoredEntry>, limit: u32, scanned: Option<Uuid>) -> Self {
        let limit = limit as usize;
        if records.len() <= limit {
            return Self { records, next: scanned };
        }
        records.truncate(limit);
        let next = records.last().map(|last| last.entry.id);
        Self { records, next }
    }
}

/// Where audit records and their seals are kept: in the same database as the state they speak of.
///
/// # What it promises
/// 1. [`append`](Self::append) commits all entries or none.
/// 2. [`seal`](Self::seal) links records in the order in which they became visible to readers, each once.
/// 3. `seal` commits links and checkpoint together, and only if no link of the chain has a higher fence.
/// 4. [`sealed`](Self::sealed) shows every link, also where its record is gone.
/// 5. [`strays`](Self::strays) are the records that sealing has passed over and will never reach.
/// 6. Reading one chain shows nothing of another.
/// 7. [`find`](Self::find) looks at no more than it is told to, misses nothing between one window and the next,
///    and says when there is no more.
#[async_trait]
pub trait AuditStore: Send + Sync + std::fmt::Debug {
    /// The next chains behind `after`, at most `limit`: the platform's, then those of all tenants that have a
    /// place, in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    async fn chains(&self, scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>>;

    /// Appends entries to a chain, in one transaction.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no place; those of the store.
    async fn append(&self, scope: &PlatformScope, chain: &Chain, entries: &[Entry]) -> Result<()>;

    /// Seals the next records of a chain, in one transaction.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if someone with a higher fence has sealed this chain;
    /// otherwise as [`append`](Self::append).
    async fn seal(&self, scope: &PlatformScope, chain: &Chain, order: &SealOrder<'_>) -> Result<SealedBatch>;

    /// The last link of a chain.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    async fn head(&self, scope: &PlatformScope, chain: &Chain) -> Result<Head>;

    /// The next links with a number above `after`, in their order.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`Corrupted`](crate::ErrorKind::Corrupted) if one cannot be read.
    async fn sealed(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<SealedEntry>>;

    /// The hashes of the links with these numbers (at most 500), in the order of their numbers; those that
    /// do not exist are left out.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    async fn hashes(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        seqs: &[i64],
    ) -> Result<Vec<(i64, [u8; 32])>>;

    /// The next checkpoints of a chain with a number above `after`, in their order.
    ///
    /// # Errors
    /// As [`sealed`](Self::sealed).
    async fn checkpoints(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Checkpoint>>;

    /// How many records wait to be sealed.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    async fn unsealed(&self, scope: &PlatformScope, chain: &Chain) -> Result<u64>;

    /// Records, at most `limit`, that are not sealed and never will be.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    async fn strays(&self, scope: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Stray>>;

    /// The records of one window that match a filter.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the window's record is not of this chain;
    /// otherwise as [`append`](Self::append).
    async fn find(&self, scope: &PlatformScope, chain: &Chain, search: &Search<'_>) -> Result<Found>;

    /// The records of one window, whatever they are.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    async fn records(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        window: Window,
        limit: u32,
    ) -> Result<Vec<StoredEntry>> {
        let search = Search { window, filter: &AuditFilter::default(), limit, scan: limit };
        Ok(self.find(scope, chain, &search).await?.records)
    }
}

/// Refuses a sealer whose token is older than the one that sealed last.
pub(crate) fn require_fence(head: &Head, fence: i64) -> Result<()> {
    if fence >= head.fence {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, "audit.seal", "another sealer has taken over this chain"))
}

/// Links records behind `head`, in the order given.
pub(crate) fn link(chain: &Chain, head: &Head, records: &[StoredEntry]) -> Vec<Seal> {
    let mut prev_hash = head.hash;
    (head.seq + 1..)
        .zip(records)
        .map(|(seq, record)| {
            let hash = record.link(chain, seq, &prev_hash);
            let seal =
                Seal { seq, record_id: record.entry.id, record_seq: record.record_seq, prev_hash, hash };
            prev_hash = hash;
            seal
        })
        .collect()
}

impl StoredEntry {
    /// The hash that links this record behind `prev` as number `seq` of `chain`.
    #[must_use]
    pub fn link(&self, chain: &Chain, seq: i64, prev: &[u8; 32]) -> [u8; 32] {
        self.entry.link(chain, seq, self.record_seq, prev)
    }
}

/// What is said of a stored value that cannot be read.
#[cfg(feature = "sql")]
pub(crate) fn damaged(what: &'static str) -> Error {
    Error::new(ErrorKind::Corrupted, "audit.read", format!("a stored {what} of the audit log is damaged"))
}

/// A stored digest.
#[cfg(feature = "sql")]
pub(crate) fn digest_of(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| damaged("hash"))
}
