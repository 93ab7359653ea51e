//! What operators do with the data keys of tenants.

use std::sync::Arc;

use mcp_core::{
    PlatformScope, Result,
    key::{DataKeys, RewrapBatch, Shredded},
    scope::TenantId,
};

use crate::Tenancy;

impl Tenancy {
    /// What seals what is a tenant's. Its [health](DataKeys::health) belongs into `/ready`.
    #[must_use]
    pub const fn data_keys(&self) -> &Arc<DataKeys> {
        &self.data_keys
    }

    /// Gives the tenant a new data key; returns its version.
    ///
    /// # Errors
    /// As [`DataKeys::rotate`]; [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant.
    pub async fn rotate_data_key(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<u32> {
        self.kept_tenant(scope, tenant).await?;
        self.data_keys.rotate(scope, tenant).await
    }

    /// Wraps the data keys of the next `limit` tenants behind `after` by the vault's current key.
    ///
    /// # Errors
    /// As [`DataKeys::rewrap_batch`].
    pub async fn rewrap_data_keys(
        &self,
        scope: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<RewrapBatch> {
        self.data_keys.rewrap_batch(scope, after, limit).await
    }

    /// Destroys the data keys of a tenant, which may be gone already: all that they sealed is lost, the tenant's
    /// signing keys too. It cannot be undone. A signing key that another process has open signs for five more
    /// minutes at most, and not at all once the tenant is suspended or gone.
    ///
    /// # Errors
    /// As [`DataKeys::shred`].
    pub async fn shred_data_keys(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Shredded> {
        let receipt = self.data_keys.shred(scope, tenant).await?;
        self.issuer.forget(tenant).await;
        Ok(receipt)
    }
}
