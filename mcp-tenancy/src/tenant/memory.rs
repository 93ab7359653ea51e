//! Tenants in memory: the readable reference, for tests and for programs that keep their tenants in a file.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock, Timestamp},
    scope::TenantId,
};

use super::{
    ErasureReceipt, ErasureStep, MAX_PAGE, NewTenant, Page, Tenant, TenantFilter, TenantProfile,
    TenantStatus, TenantStore,
    life::{self, Words},
    store::{already_exists, key_reused, not_found, parse_cursor, stale},
};

/// A [`TenantStore`] in memory. Clones share their tenants.
#[derive(Debug, Clone)]
pub struct MemoryTenantStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    tenants: BTreeMap<TenantId, Tenant>,
    /// Which tenant an idempotency key made.
    made: HashMap<String, TenantId>,
    steps: HashMap<TenantId, Vec<ErasureStep>>,
    receipts: HashMap<TenantId, ErasureReceipt>,
    revision: i64,
}

impl Default for MemoryTenantStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryTenantStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below is made whole before the guard drops, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a step of a tenant's life: `become_` is given the tenant and its organisation.
    fn step(
        &self,
        words: &Words,
        id: &TenantId,
        become_: impl FnOnce(&Tenant, Option<&Tenant>, Timestamp) -> Result<Option<Tenant>>,
    ) -> Result<Tenant> {
        let mut state = self.lock();
        let tenant = state.tenants.get(id).ok_or_else(|| not_found(words.operation, id))?;
        let now = self.clock.now();
        match become_(tenant, state.parent(tenant), now)? {
            None => Ok(tenant.clone()),
            Some(changed) => Ok(state.change(changed, now)),
        }
    }
}

impl State {
    fn parent(&self, tenant: &Tenant) -> Option<&Tenant> {
        tenant.parent.as_ref().and_then(|parent| self.tenants.get(parent))
    }

    fn change(&mut self, mut tenant: Tenant, now: Timestamp) -> Tenant {
        self.revision += 1;
        tenant.revision = self.revision;
        tenant.version += 1;
        tenant.updated_at = now;
        self.tenants.insert(tenant.id.clone(), tenant.clone());
        tenant
    }
}

#[async_trait]
impl TenantStore for MemoryTenantStore {
    async fn create(&self, _: &PlatformScope, new: NewTenant) -> Result<Tenant> {
        new.validate()?;
        let mut state = self.lock();
        if let Some(made) = new.idempotency_key.as_ref().and_then(|key| state.made.get(key)) {
            let tenant = state.tenants.get(made).filter(|tenant| new.made(tenant));
            return tenant.cloned().ok_or_else(key_reused);
        }
        if state.tenants.contains_key(&new.id) {
            return Err(already_exists("id", new.id.as_str()));
        }
        if state.tenants.values().any(|tenant| tenant.schema == new.schema) {
            return Err(already_exists("schema", new.schema.as_str()));
        }
        life::check_parent(&new, new.parent.as_ref().and_then(|parent| state.tenants.get(parent)))?;
        if let Some(key) = new.idempotency_key {
            state.made.insert(key, new.id.clone());
        }
        let now = self.clock.now();
        let tenant = Tenant {
            id: new.id,
            profile: new.profile,
            status: TenantStatus::Active,
            schema: new.schema,
            parent: new.parent,
            deletion: None,
            created_at: now,
            updated_at: now,
            version: 0,
            revision: 0,
        };
        Ok(state.change(tenant, now))
    }

    async fn get(&self, _: &PlatformScope, id: &TenantId) -> Result<Option<Tenant>> {
        Ok(self.lock().tenants.get(id).cloned())
    }

    async fn list(
        &self,
        _: &PlatformScope,
        filter: &TenantFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let state = self.lock();
        let later = state.tenants.values().filter(|tenant| after.as_ref().is_none_or(|id| tenant.id > *id));
        let listed = later.filter(|tenant| filter.admits(tenant));
        let items = listed.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |tenant: &Tenant| tenant.id.to_string()))
    }

    async fn update(
        &self,
        _: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        expected_version: i64,
    ) -> Result<Tenant> {
        profile.validate()?;
        let mut state = self.lock();
        let tenant = state.tenants.get(id).ok_or_else(|| not_found("tenant.update", id))?;
        if tenant.version != expected_version {
            return Err(stale(tenant.version));
        }
        let changed = life::update(tenant, profile)?;
        Ok(state.change(changed, self.clock.now()))
    }

    async fn suspend(&self, _: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(&life::SUSPEND, id, |tenant, _, _| life::suspend(tenant))
    }

    async fn resume(&self, _: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(&life::RESUME, id, |tenant, _, _| life::resume(tenant))
    }

    async fn delete(&self, _: &PlatformScope, id: &TenantId, erase_after: Timestamp) -> Result<Tenant> {
        self.step(&life::DELETE, id, |tenant, _, now| Ok(life::delete(tenant, now, erase_after)))
    }

    async fn restore(&self, _: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(&life::RESTORE, id, |tenant, parent, _| life::restore(tenant, parent))
    }

    async fn due(&self, _: &PlatformScope, after: Option<&TenantId>, limit: u32) -> Result<Vec<Tenant>> {
        let (state, now) = (self.lock(), self.clock.now());
        let later = state.tenants.values().filter(|tenant| after.is_none_or(|id| tenant.id > *id));
        let due = later.filter(|tenant| life::is_due(tenant, state.parent(tenant), now));
        Ok(due.take(limit.clamp(1, MAX_PAGE) as usize).cloned().collect())
    }

    async fn begin_erasure(&self, _: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(&life::ERASING, id, life::begin_erasure)
    }

    async fn record_step(&self, _: &PlatformScope, id: &TenantId, step: &ErasureStep) -> Result<()> {
        let mut state = self.lock();
        if !state.tenants.contains_key(id) {
            return Err(not_found(life::ERASING.operation, id));
        }
        let steps = state.steps.entry(id.clone()).or_default();
        if steps.iter().all(|known| known.name != step.name) {
            steps.push(step.clone());
        }
        Ok(())
    }

    async fn steps(&self, _: &PlatformScope, id: &TenantId) -> Result<Vec<ErasureStep>> {
        Ok(self.lock().steps.get(id).cloned().unwrap_or_default())
    }

    async fn erased(&self, _: &PlatformScope, receipt: &ErasureReceipt) -> Result<Tenant> {
        let id = &receipt.tenant;
        let left =
            |tenant: &Tenant| tenant.parent.as_ref() == Some(id) && tenant.status != TenantStatus::Erased;
        let projects = self.lock().tenants.values().any(left);
        let tombstone = self.step(&life::ERASE, id, |tenant, _, now| life::erased(tenant, projects, now))?;
        let mut state = self.lock();
        state.made.retain(|_, made| made != id);
        state.receipts.entry(id.clone()).or_insert_with(|| receipt.clone());
        Ok(tombstone)
    }

    async fn receipt(&self, _: &PlatformScope, id: &TenantId) -> Result<Option<ErasureReceipt>> {
        Ok(self.lock().receipts.get(id).cloned())
    }

    async fn changes_since(&self, _: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<Tenant>> {
        let state = self.lock();
        let mut changed: Vec<_> =
            state.tenants.values().filter(|tenant| tenant.revision > revision).cloned().collect();
        changed.sort_unstable_by_key(|tenant| tenant.revision);
        changed.truncate(limit.clamp(1, MAX_PAGE) as usize);
        Ok(changed)
    }
}
