//! Policies in memory: the readable reference.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    clock::{Clock, SystemClock},
    scope::TenantId,
};

use super::{
    KEPT_VERSIONS, NewPolicy, PolicyHead, PolicyState, PolicyStore, PolicyVersion,
    store::{check_active, not_found, not_validated, parse_cursor},
    version::state,
};
use crate::tenant::{MAX_PAGE, Page};

/// A [`PolicyStore`] in memory. Clones share their policies.
#[derive(Debug, Clone)]
pub struct MemoryPolicyStore {
    clock: Arc<dyn Clock>,
    tenants: Arc<Mutex<HashMap<TenantId, OfTenant>>>,
}

#[derive(Debug, Default)]
struct OfTenant {
    versions: BTreeMap<i64, PolicyVersion>,
    last: i64,
    active: i64,
}

impl OfTenant {
    /// A version with its state as of now.
    fn get(&self, version: i64) -> Option<PolicyVersion> {
        let mut found = self.versions.get(&version)?.clone();
        found.head.state = state(version, found.head.validated_at.is_some(), self.active);
        Some(found)
    }
}

impl Default for MemoryPolicyStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryPolicyStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tenants: Arc::default() }
    }

    /// Forgets what is the tenant's; returns how many versions there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        self.lock().remove(tenant).map_or(0, |gone| gone.versions.len() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, OfTenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PolicyStore for MemoryPolicyStore {
    async fn draft(&self, scope: &Scope, new: NewPolicy) -> Result<PolicyVersion> {
        new.check()?;
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        tenant.last += 1;
        let head = PolicyHead {
            version: tenant.last,
            language: new.policy.language,
            state: PolicyState::Draft,
            note: new.note,
            author: scope.principal().id.clone(),
            created_at: self.clock.now(),
            validated_at: None,
        };
        let version = PolicyVersion { head, policy: new.policy };
        tenant.versions.insert(tenant.last, version.clone());
        let (oldest, active) = (tenant.last - i64::from(KEPT_VERSIONS), tenant.active);
        tenant.versions.retain(|version, _| *version > oldest || *version == active);
        Ok(version)
    }

    async fn mark_validated(&self, scope: &Scope, version: i64) -> Result<PolicyVersion> {
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        let now = self.clock.now();
        let stored =
            tenant.versions.get_mut(&version).ok_or_else(|| not_found("policy.validate", version))?;
        stored.head.validated_at.get_or_insert(now);
        tenant.get(version).ok_or_else(|| not_found("policy.validate", version))
    }

    async fn activate(&self, scope: &Scope, version: i64, expected: i64) -> Result<i64> {
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        check_active(tenant.active, expected)?;
        if version != 0 {
            let found = tenant.versions.get(&version).ok_or_else(|| not_found("policy.activate", version))?;
            found.head.validated_at.ok_or_else(|| not_validated(version))?;
        }
        tenant.active = version;
        Ok(version)
    }

    async fn active(&self, scope: &Scope) -> Result<i64> {
        Ok(self.lock().get(scope.tenant()).map_or(0, |tenant| tenant.active))
    }

    async fn version(&self, scope: &Scope, version: i64) -> Result<Option<PolicyVersion>> {
        Ok(self.lock().get(scope.tenant()).and_then(|tenant| tenant.get(version)))
    }

    async fn versions(&self, scope: &Scope, cursor: Option<&str>, limit: u32) -> Result<Page<PolicyHead>> {
        let (before, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let tenants = self.lock();
        let Some(tenant) = tenants.get(scope.tenant()) else {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        };
        let numbers = tenant.versions.range(..before).rev().map(|(version, _)| *version);
        let heads = numbers.filter_map(|version| tenant.get(version)).map(|version| version.head);
        let items = heads.take(limit as usize + 1).collect();
        Ok(Page::cut(items, limit, |head: &PolicyHead| head.version.to_string()))
    }
}
