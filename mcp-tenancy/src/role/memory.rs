//! Roles in memory: the readable reference.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    clock::{Clock, SystemClock},
    scope::{PrincipalId, TenantId},
};

use super::{
    Granted, NewRole, Role, RoleName, RoleStore,
    model::check_among,
    store::{check_room, check_unused, check_version, not_found, parse_cursor},
};
use crate::tenant::{MAX_PAGE, Page};

/// A [`RoleStore`] in memory. Clones share their roles.
#[derive(Debug, Clone)]
pub struct MemoryRoleStore {
    clock: Arc<dyn Clock>,
    tenants: Arc<Mutex<HashMap<TenantId, OfTenant>>>,
}

#[derive(Debug, Default)]
struct OfTenant {
    roles: BTreeMap<RoleName, Role>,
    held: BTreeSet<(PrincipalId, RoleName)>,
}

impl OfTenant {
    fn all(&self) -> Vec<Role> {
        self.roles.values().cloned().collect()
    }

    fn of<'a>(&'a self, principal: &'a PrincipalId) -> impl Iterator<Item = &'a RoleName> {
        self.held.iter().filter(move |(holder, _)| holder == principal).map(|(_, role)| role)
    }
}

impl Default for MemoryRoleStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryRoleStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tenants: Arc::default() }
    }

    /// Forgets what is the tenant's; returns how many roles there were, and how often they were given.
    pub(crate) fn erase(&self, tenant: &TenantId) -> (u64, u64) {
        let gone = self.lock().remove(tenant).unwrap_or_default();
        (gone.roles.len() as u64, gone.held.len() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, OfTenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RoleStore for MemoryRoleStore {
    async fn put(&self, scope: &Scope, definition: NewRole, expected_version: i64) -> Result<Role> {
        definition.validate()?;
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        let stored = tenant.roles.get(&definition.name);
        check_version("role.put", stored.map_or(0, |role| role.version), expected_version)?;
        check_among(&tenant.all(), &definition)?;
        let now = self.clock.now();
        let created_at = stored.map_or(now, |role| role.created_at);
        let role = Role { definition, version: expected_version + 1, created_at, updated_at: now };
        tenant.roles.insert(role.definition.name.clone(), role.clone());
        Ok(role)
    }

    async fn roles(&self, scope: &Scope) -> Result<Vec<Role>> {
        Ok(self.lock().get(scope.tenant()).map_or_else(Vec::new, OfTenant::all))
    }

    async fn delete(&self, scope: &Scope, name: &RoleName, expected_version: i64) -> Result<()> {
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        let stored = tenant.roles.get(name).ok_or_else(|| not_found("role.delete", name))?;
        check_version("role.delete", stored.version, expected_version)?;
        check_unused(&tenant.all(), name)?;
        tenant.roles.remove(name);
        tenant.held.retain(|(_, role)| role != name);
        Ok(())
    }

    async fn assign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        if !tenant.roles.contains_key(role) {
            return Err(not_found("role.assign", role));
        }
        let given = (principal.clone(), role.clone());
        if !tenant.held.contains(&given) {
            check_room(tenant.of(principal).count())?;
            tenant.held.insert(given);
        }
        Ok(())
    }

    async fn unassign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        if let Some(tenant) = self.lock().get_mut(scope.tenant()) {
            tenant.held.remove(&(principal.clone(), role.clone()));
        }
        Ok(())
    }

    async fn held(&self, scope: &Scope, principal: &PrincipalId) -> Result<BTreeSet<RoleName>> {
        let tenants = self.lock();
        let tenant = tenants.get(scope.tenant());
        Ok(tenant.map_or_else(BTreeSet::new, |tenant| tenant.of(principal).cloned().collect()))
    }

    async fn granted(&self, scope: &Scope, principal: &PrincipalId) -> Result<Granted> {
        let tenants = self.lock();
        let tenant = tenants.get(scope.tenant());
        Ok(tenant.map_or_else(Granted::default, |tenant| Granted::of(&tenant.all(), tenant.of(principal))))
    }

    async fn holders(
        &self,
        scope: &Scope,
        role: &RoleName,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<PrincipalId>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let tenants = self.lock();
        let held = tenants.get(scope.tenant()).into_iter().flat_map(|tenant| &tenant.held);
        let later = held
            .filter(|(_, given)| given == role)
            .map(|(holder, _)| holder)
            .filter(|holder| after.as_ref().is_none_or(|after| *holder > after));
        let items = later.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |holder: &PrincipalId| holder.to_string()))
    }
}
