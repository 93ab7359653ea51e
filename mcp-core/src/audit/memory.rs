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
    erase::{Erased, LastLink, TenantEraser},
    error::{Error, ErrorKind, Result},
    scope::{PlatformScope, TenantId},
};

/// Records that one chain may have; a log that must grow belongs into a database.
const MOST_RECORDS: usize = 200_000;

/// An audit log that the process alone knows, and that is lost with it: for tests, and for programs that keep
/// nothing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryAudit(Arc<Mutex<Logs>>);

#[derive(Debug, Default)]
struct Logs {
    chains: BTreeMap<Chain, Log>,
    /// What erased chains came to: asked again, an erasure answers the same.
    erased: BTreeMap<TenantId, Erased>,
}

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
        let chains = BTreeMap::from([(Chain::Platform, Log::default())]);
        Self(Arc::new(Mutex::new(Logs { chains, erased: BTreeMap::new() })))
    }

    /// Gives a tenant a chain, unless it has one, or had one that was erased.
    pub fn place(&self, tenant: TenantId) {
        let mut logs = self.logs();
        if !logs.erased.contains_key(&tenant) {
            logs.chains.entry(Chain::Tenant(tenant)).or_default();
        }
    }

    fn logs(&self) -> std::sync::MutexGuard<'_, Logs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, chain: &Chain, work: impl FnOnce(&mut Log) -> Result<T>) -> Result<T> {
        let mut logs = self.logs();
        let unknown = || Error::not_found("audit.chain", "there is no such chain");
        work(logs.chains.get_mut(chain).ok_or_else(unknown)?)
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
            .chains
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

#[async_trait]
impl TenantEraser for MemoryAudit {
    fn name(&self) -> &'static str {
        "audit-memory"
    }

    async fn erase(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let mut logs = self.logs();
        let gone = logs.chains.remove(&Chain::Tenant(tenant.clone()));
        let erased = gone.as_ref().map(Log::counted);
        Ok(logs.erased.entry(tenant.clone()).or_insert_with(|| erased.unwrap_or_default()).clone())
    }
}

impl Log {
    /// What there is, under the names that tables in databases have.
    fn counted(&self) -> Erased {
        let mut counted = Erased::default();
        counted.count("audit", self.records.len() as u64);
        counted.count("audit_seal", self.seals.len() as u64);
        counted.count("audit_checkpoint", self.checkpoints.len() as u64);
        let last = self.seals.last();
        counted.last_link = (!self.records.is_empty()).then(|| LastLink {
            seq: last.map_or(0, |seal| seal.seq),
            hash: last.iter().flat_map(|seal| seal.hash).map(|byte| format!("{byte:02x}")).collect(),
            unsealed: (self.records.len() - self.seals.len()) as u64,
        });
        counted
    }

    fn head(&self) -> Head {
        let last = self.seals.last();
        last.map_or_else(Head::default, |seal| Head { seq: seal.seq, hash: seal.hash, fence: self.fence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{AuditKey, AuditRecord},
        clock::Timestamp,
        scope::PrincipalId,
    };

    fn entry(scope: &PlatformScope, now: Timestamp) -> Entry {
        Entry::new(AuditRecord::administered(scope, "key.create", "key/k1"), now).unwrap()
    }

    #[tokio::test]
    async fn an_erased_chain_is_counted_and_does_not_come_back() {
        let (audit, scope) =
            (MemoryAudit::new(), PlatformScope::new(PrincipalId::parse("eraser").unwrap(), "a test"));
        let (acme, beta) = (TenantId::parse("acme").unwrap(), TenantId::parse("beta").unwrap());
        let chain = |tenant: &TenantId| Chain::Tenant(tenant.clone());
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        for tenant in [&acme, &beta] {
            audit.place(tenant.clone());
            let entries: Vec<Entry> = (0..3).map(|_| entry(&scope, now)).collect();
            audit.append(&scope, &chain(tenant), &entries).await.unwrap();
        }
        let key = AuditKey::ephemeral().unwrap();
        let order = SealOrder { key: &key, fence: 1, limit: 2, now };
        audit.seal(&scope, &chain(&acme), &order).await.unwrap();
        let head = audit.head(&scope, &chain(&acme)).await.unwrap();

        let erased = audit.erase(&scope, &acme).await.unwrap();
        let counts = [("audit", 3), ("audit_checkpoint", 1), ("audit_seal", 2)];
        assert_eq!(erased.counts, counts.map(|(what, count)| (what.to_owned(), count)).into());
        let last = erased.last_link.clone().unwrap();
        assert_eq!((last.seq, last.unsealed, last.hash.len()), (head.seq, 1, 64));
        assert_eq!(audit.erase(&scope, &acme).await.unwrap(), erased, "asked again it answered otherwise");

        audit.place(acme.clone());
        let late = audit.append(&scope, &chain(&acme), &[entry(&scope, now)]).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::NotFound, "a chain that was erased began anew");
        assert_eq!(audit.chains(&scope, None, 10).await.unwrap(), [Chain::Platform, chain(&beta)]);
        assert_eq!(audit.unsealed(&scope, &chain(&beta)).await.unwrap(), 3);
        let nobody = TenantId::parse("nobody").unwrap();
        assert_eq!(audit.erase(&scope, &nobody).await.unwrap(), Erased::default());
    }
}
