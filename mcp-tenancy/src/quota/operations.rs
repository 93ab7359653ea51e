//! What an administrator does with quotas.

use std::sync::Arc;

use mcp_core::{PlatformScope, Result, limit::Quota, scope::TenantId};

use super::{QuotaLimit, QuotaStore};
use crate::Tenancy;

impl Tenancy {
    /// What whoever spends asks, and where what was used is read.
    #[must_use]
    pub const fn quotas(&self) -> &Arc<dyn QuotaStore> {
        &self.quotas
    }

    /// The port alone, for parts that know no tenants.
    #[must_use]
    pub fn quota(&self) -> Arc<dyn Quota> {
        self.quotas.clone()
    }

    /// Sets a quota of a tenant: here at once, elsewhere within a second.
    ///
    /// # Errors
    /// As [`QuotaStore::set`]; [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant.
    pub async fn set_quota(&self, scope: &PlatformScope, tenant: &TenantId, limit: QuotaLimit) -> Result<()> {
        self.kept_tenant(scope, tenant).await?;
        self.quotas.set(scope, tenant, limit).await
    }

    /// Removes a quota of a tenant, whatever its amount: here at once, elsewhere within a second.
    ///
    /// # Errors
    /// As [`QuotaStore::remove`]; [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant.
    pub async fn remove_quota(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        limit: &QuotaLimit,
    ) -> Result<()> {
        self.tenant(scope, tenant).await?;
        self.quotas.remove(scope, tenant, limit).await
    }

    /// A tenant's quotas.
    ///
    /// # Errors
    /// As [`QuotaStore::limits`]; [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant.
    pub async fn quota_limits(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<QuotaLimit>> {
        self.tenant(scope, tenant).await?;
        self.quotas.limits(scope, tenant).await
    }

    /// Lets all quotas of a tenant begin anew.
    ///
    /// # Errors
    /// As [`QuotaStore::reset`]; [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant.
    pub async fn reset_quotas(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<()> {
        self.tenant(scope, tenant).await?;
        self.quotas.reset(scope, tenant).await
    }
}
