//! The audit log in memory: the backend to read first.
//!
//! One lock, so the order of records is the order in which they were appended.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    AuditStore, Chain, Checkpoint, Entry, Found, Head, Seal, SealOrder, SealedBatch, SealedEntry, Search,
    StoredEntry, Stray,
    list::unknown_cursor,
    store::{link, require_fence},
};
use crate::{
    error::{Error, ErrorKind, Result},
    scope::{PlatformScope, TenantId},
};

/// Records that one chain may have; a log that must grow belongs into a database.
const MOST_RECORDS: usize = 200_000;

/// An audit log that the process alone knows, and that is lost with it: for tests, and for programs that keep
/// nothing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryAudit(Arc<Mutex<BTreeMap<Chain, Log>>>);

#[derive(Debug, Default)]
struct Log {
    records: Vec<StoredEntry>,
    ids: HashSet<Uuid>,
    /// A prefix of the records is linked: the seal of record `n` is seal `n`.
    seals: Vec<Seal>,
    checkpoints: Vec<Checkpoint>,
    fence: i64,
}

impl MemoryAudit {
    /// The platform's chain alone, empty.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(BTreeMap::from([(Chain::Platform, Log::default())]))))
    }

    /// Gives a tenant a chain, unless it has one.
    pub fn place(&self, tenant: TenantId) {
        self.logs().entry(Chain::Tenant(tenant)).or_default();
    }

    fn logs(&self) -> std::sync::MutexGuard<'_, BTreeMap<Chain, Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, chain: &Chain, work: impl FnOnce(&mut Log) -> Result<T>) -> Result<T> {
        let mut logs = self.logs();
        let unknown = || Error::not_found("audit.chain", "there is no such chain");
        work(logs.get_mut(chain).ok_or_else(unknown)?)
    }
}

impl Default for MemoryAudit {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl AuditStore for MemoryAudit {
    async fn chains(&self, _scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let logs = self.logs();
        Ok(logs
            .range::<Chain, _>((from, Bound::Unbounded))
            .take(limit as usize)
            .map(|(c, _)| c.clone())
            .collect())
    }

    async fn append(&self, _scope: &PlatformScope, chain: &Chain, entries: &[Entry]) -> Result<()> {
        self.with(chain, |log| {
            if log.records.len() + entries.len() > MOST_RECORDS {
                let message = format!("a chain in memory has at most {MOST_RECORDS} records; use a database");
                return Err(Error::unavailable("audit.append", message));
            }
            let fresh: HashSet<Uuid> = entries.iter().map(|entry| entry.id).collect();
            if fresh.len() < entries.len() || !fresh.is_disjoint(&log.ids) {
                return Err(Error::new(ErrorKind::AlreadyExists, "audit.append", "it exists already"));
            }
            log.ids.extend(fresh);
            for entry in entries {
                let record_seq = log.records.len() as i64 + 1;
                log.records.push(StoredEntry { record_seq, entry: entry.clone() });
            }
            Ok(())
        })
    }

    async fn seal(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        order: &SealOrder<'_>,
    ) -> Result<SealedBatch> {
        self.with(chain, |log| {
            let head = log.head();
            require_fence(&head, order.fence)?;
            let waiting = log.records.get(log.seals.len()..).unwrap_or_default();
            let left = waiting.len().saturating_sub(order.limit as usize) as u64;
            let seals = link(chain, &head, &waiting[..waiting.len().min(order.limit as usize)]);
            let Some(last) = seals.last() else { return Ok(SealedBatch { sealed: 0, left }) };
            let checkpoint = Checkpoint::sign(chain, last.seq, last.hash, order.now, order.key);
            log.checkpoints.push(checkpoint);
            log.fence = order.fence;
            let sealed = seals.len() as u64;
            log.seals.extend(seals);
            Ok(SealedBatch { sealed, left })
        })
    }

    async fn head(&self, _scope: &PlatformScope, chain: &Chain) -> Result<Head> {
        self.with(chain, |log| Ok(log.head()))
    }

    async fn sealed(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<SealedEntry>> {
        self.with(chain, |log| {
            let behind = log.seals.iter().zip(&log.records).skip(usize::try_from(after).unwrap_or(0));
            let linked = |(seal, record): (&Seal, &StoredEntry)| SealedEntry {
                seal: seal.clone(),
                record: Some(record.clone()),
            };
            Ok(behind.take(limit as usize).map(linked).collect())
        })
    }

    async fn hashes(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        seqs: &[i64],
    ) -> Result<Vec<(i64, [u8; 32])>> {
        self.with(chain, |log| {
            let mut seqs = seqs.to_vec();
            seqs.sort_unstable();
            seqs.dedup();
            let seal = |seq: i64| log.seals.get(usize::try_from(seq).ok()?.checked_sub(1)?);
            Ok(seqs.into_iter().filter_map(|seq| Some((seq, seal(seq)?.hash))).collect())
        })
    }

    async fn checkpoints(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Checkpoint>> {
        self.with(chain, |log| {
            let from = log.checkpoints.partition_point(|checkpoint| checkpoint.seq <= after);
            Ok(log.checkpoints[from..].iter().take(limit as usize).cloned().collect())
        })
    }

    async fn unsealed(&self, _scope: &PlatformScope, chain: &Chain) -> Result<u64> {
        self.with(chain, |log| Ok((log.records.len() - log.seals.len()) as u64))
    }

    /// There is no way to put records in or take them out behind its back.
    async fn strays(&self, _scope: &PlatformScope, chain: &Chain, _limit: u32) -> Result<Vec<Stray>> {
        self.with(chain, |_| Ok(Vec::new()))
    }

    async fn find(&self, _scope: &PlatformScope, chain: &Chain, search: &Search<'_>) -> Result<Found> {
        self.with(chain, |log| {
            let place = |id: Uuid| {
                let at = log.records.iter().position(|stored| stored.entry.id == id);
                at.ok_or_else(unknown_cursor)
            };
            let behind: Vec<&StoredEntry> = match (search.window.after, search.window.newest_first) {
                (None, true) => log.records.iter().rev().collect(),
                (None, false) => log.records.iter().collect(),
                (Some(id), true) => log.records[..place(id)?].iter().rev().collect(),
                (Some(id), false) => log.records[place(id)? + 1..].iter().collect(),
            };
            let looked_at = &behind[..behind.len().min(search.scan as usize)];
            let scanned = looked_at.last().filter(|_| looked_at.len() < behind.len());
            let matching = looked_at.iter().filter(|stored| search.filter.matches(&stored.entry));
            let records = matching.take(search.limit as usize + 1).map(|stored| (*stored).clone()).collect();
            Ok(Found::of(records, search.limit, scanned.map(|last| last.entry.id)))
        })
    }
}

impl Log {
    fn head(&self) -> Head {
        let last = self.seals.last();
        last.map_or_else(Head::default, |seal| Head { seq: seal.seq, hash: seal.hash, fence: self.fence })
    }
}
