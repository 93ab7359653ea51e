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
    MAX_PAGE, NewTenant, Page, Tenant, TenantProfile, TenantStatus, TenantStore,
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

    fn set_status(&self, operation: &'static str, id: &TenantId, status: TenantStatus) -> Result<Tenant> {
        let mut state = self.lock();
        let tenant = state.tenants.get(id).ok_or_else(|| not_found(operation, id))?;
        if tenant.status == status {
            return Ok(tenant.clone());
        }
        let changed = Tenant { status, ..tenant.clone() };
        Ok(state.change(changed, self.clock.now()))
    }
}

impl State {
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
        if let Some(key) = new.idempotency_key {
            state.made.insert(key, new.id.clone());
        }
        let now = self.clock.now();
        let tenant = Tenant {
            id: new.id,
            profile: new.profile,
            status: TenantStatus::Active,
            schema: new.schema,
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

    async fn list(&self, _: &PlatformScope, cursor: Option<&str>, limit: u32) -> Result<Page<Tenant>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let state = self.lock();
        let later = state.tenants.values().filter(|tenant| after.as_ref().is_none_or(|id| tenant.id > *id));
        let items = later.take(limit as usize + 1).cloned().collect();
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
        let changed = Tenant { profile, ..tenant.clone() };
        Ok(state.change(changed, self.clock.now()))
    }

    async fn suspend(&self, _: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.set_status("tenant.suspend", id, TenantStatus::Suspended)
    }

    async fn resume(&self, _: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.set_status("tenant.resume", id, TenantStatus::Active)
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
