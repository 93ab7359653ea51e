//! Issuers in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock},
    scope::TenantId,
};

use super::{
    Issuer, IssuerId, IssuerStore, IssuerWrite, MAX_ISSUERS, StoredIssuer,
    store::{check_version, not_found, parse_cursor, stale, taken, too_many},
};
use crate::tenant::{MAX_PAGE, Page};

/// An [`IssuerStore`] in memory. Clones share their issuers.
#[derive(Debug, Clone)]
pub struct MemoryIssuerStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    issuers: BTreeMap<IssuerId, StoredIssuer>,
    revision: i64,
}

impl Default for MemoryIssuerStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryIssuerStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        let mut state = self.lock();
        let before = state.issuers.len();
        state.issuers.retain(|_, stored| stored.issuer.spec.tenant.as_ref() != Some(tenant));
        (before - state.issuers.len()) as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl IssuerStore for MemoryIssuerStore {
    async fn put(&self, _: &PlatformScope, write: IssuerWrite) -> Result<Issuer> {
        write.validate()?;
        let mut state = self.lock();
        let stored = state.issuers.get(&write.id).map(|stored| &stored.issuer);
        check_version(&write, stored)?;
        let there = |other: &&StoredIssuer| !other.issuer.removed && other.issuer.id != write.id;
        let others = || state.issuers.values().filter(there).map(|other| &other.issuer);
        if let Some(error) = others().find_map(|other| taken(&write, other)) {
            return Err(error);
        }
        if others().filter(|other| other.spec.tenant == write.spec.tenant).count() >= MAX_ISSUERS as usize {
            return Err(too_many());
        }
        let now = self.clock.now();
        let issuer = Issuer {
            id: write.id.clone(),
            spec: write.spec,
            removed: false,
            created_at: stored.map_or(now, |issuer| issuer.created_at),
            updated_at: now,
            version: stored.map_or(0, |issuer| issuer.version) + 1,
            revision: state.revision + 1,
        };
        state.revision = issuer.revision;
        let stored = StoredIssuer { issuer: issuer.clone(), sealed_secret: write.sealed_secret };
        state.issuers.insert(write.id, stored);
        Ok(issuer)
    }

    async fn remove(&self, _: &PlatformScope, id: &IssuerId, expected_version: i64) -> Result<Issuer> {
        let mut state = self.lock();
        let revision = state.revision + 1;
        let stored = state.issuers.get_mut(id).filter(|stored| !stored.issuer.removed);
        let stored = stored.ok_or_else(|| not_found("issuer.remove", id))?;
        if stored.issuer.version != expected_version {
            return Err(stale(stored.issuer.version));
        }
        stored.sealed_secret = None;
        let issuer = &mut stored.issuer;
        issuer.removed = true;
        (issuer.version, issuer.revision) = (issuer.version + 1, revision);
        issuer.updated_at = self.clock.now();
        let removed = issuer.clone();
        state.revision = revision;
        Ok(removed)
    }

    async fn get(&self, _: &PlatformScope, id: &IssuerId) -> Result<Option<StoredIssuer>> {
        Ok(self.lock().issuers.get(id).filter(|stored| !stored.issuer.removed).cloned())
    }

    async fn list(
        &self,
        _: &PlatformScope,
        tenant: Option<&TenantId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Issuer>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let state = self.lock();
        let wanted = |issuer: &&Issuer| {
            !issuer.removed
                && tenant.is_none_or(|tenant| issuer.spec.tenant.as_ref() == Some(tenant))
                && after.as_ref().is_none_or(|id| issuer.id > *id)
        };
        let later = state.issuers.values().map(|stored| &stored.issuer).filter(wanted);
        let items = later.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |issuer: &Issuer| issuer.id.to_string()))
    }

    async fn changes_since(&self, _: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<StoredIssuer>> {
        let state = self.lock();
        let later = state.issuers.values().filter(|stored| stored.issuer.revision > revision);
        let mut changed: Vec<_> = later.cloned().collect();
        changed.sort_unstable_by_key(|stored| stored.issuer.revision);
        changed.truncate(limit.clamp(1, MAX_PAGE) as usize);
        Ok(changed)
    }
}
