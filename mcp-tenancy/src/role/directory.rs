//! What a request's roles come to, without asking the database each time.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    Result, Scope,
    scope::{Principal, PrincipalId, TenantId},
};
use moka::future::Cache;

use super::{Granted, RoleStore};

/// The permission by which a credential acts with the roles of its principal.
pub const USE_ROLES: &str = "roles:use";
/// Principals whose roles are remembered.
const REMEMBERED: u64 = 10_000;
/// How long: what another replica gives or takes is seen here within this time.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// What principals' roles come to, remembered for a second; changes made through
/// [`RoleAdmin`](super::RoleAdmin) of the same process count at once.
///
/// Roles count for a credential that holds [`USE_ROLES`] alone: a key or token that was made for less stays
/// as narrow as it was made, whatever its principal may do otherwise.
#[derive(Debug, Clone)]
pub struct RoleDirectory {
    store: Arc<dyn RoleStore>,
    remembered: Cache<(TenantId, PrincipalId), Arc<Granted>>,
}

impl RoleDirectory {
    /// Asks `store`.
    #[must_use]
    pub fn new(store: Arc<dyn RoleStore>) -> Self {
        let remembered = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_live(REMEMBERED_FOR)
            .support_invalidation_closures();
        Self { store, remembered: remembered.build() }
    }

    /// What the scope's principal may do by its roles; nothing where its credential does not use them.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the store does not answer.
    pub async fn granted(&self, scope: &Scope) -> Result<Arc<Granted>> {
        let principal = scope.principal();
        if !principal.permissions.allows(USE_ROLES) {
            return Ok(Arc::default());
        }
        let key = (scope.tenant().clone(), principal.id.clone());
        if let Some(known) = self.remembered.get(&key).await {
            return Ok(known);
        }
        let granted = Arc::new(self.store.granted(scope, &principal.id).await?);
        self.remembered.insert(key, granted.clone()).await;
        Ok(granted)
    }

    /// The same scope, its principal with what its roles allow.
    ///
    /// # Errors
    /// As [`granted`](Self::granted).
    pub async fn widen(&self, scope: &Scope) -> Result<Scope> {
        Ok(widened(scope, &*self.granted(scope).await?))
    }

    /// Forgets what is remembered of a tenant.
    pub fn forget(&self, tenant: &TenantId) {
        let tenant = tenant.clone();
        // Fails only for a cache without such closures; this one has them.
        let _ = self.remembered.invalidate_entries_if(move |(of, _), _| *of == tenant);
    }
}

/// The same scope for a principal that also has the permissions `granted`.
fn widened(scope: &Scope, granted: &Granted) -> Scope {
    let principal = scope.principal();
    let held = &principal.permissions;
    if granted.permissions.iter().all(|granted| held.iter().any(|held| held == granted)) {
        return scope.clone();
    }
    let permissions = held.iter().chain(granted.permissions.iter()).cloned().collect();
    let principal = Principal { permissions, ..principal.clone() };
    scope.clone().with_principal(Arc::new(principal))
}
