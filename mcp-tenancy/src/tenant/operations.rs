//! What operators do with tenants.

use std::time::Duration;

use mcp_core::{Error, ErrorKind, PlatformScope, Result, scope::TenantId};

use super::{ErasureReceipt, NewTenant, Page, Tenant, TenantFilter, TenantProfile, TenantStatus, not_found};
use crate::Tenancy;

/// How long a deleted tenant can be restored where nothing else is said: 30 days.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest grace: ten years.
pub const MAX_GRACE: Duration = Duration::from_secs(3650 * 24 * 3600);

impl Tenancy {
    /// Creates a tenant. With a [`parent`](NewTenant::parent) it is a project of that organisation: closed while the
    /// organisation is, erased with it, and for the rest a tenant as any other, with data, keys and principals of its
    /// own.
    ///
    /// # Errors
    /// As [`TenantStore::create`](super::TenantStore::create); [`InvalidInput`](ErrorKind::InvalidInput) for a region
    /// that is served elsewhere.
    pub async fn create_tenant(&self, scope: &PlatformScope, new: NewTenant) -> Result<Tenant> {
        self.regions.require("tenant.create", &new.profile.region)?;
        self.noted(self.tenants.create(scope, new).await)
    }

    /// The tenant.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Unavailable`](ErrorKind::Unavailable).
    pub async fn tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.tenants.get(scope, id).await?.ok_or_else(|| not_found("tenant.get", id))
    }

    /// One page of all tenants.
    ///
    /// # Errors
    /// As [`TenantStore::list`](super::TenantStore::list).
    pub async fn tenants(
        &self,
        scope: &PlatformScope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        self.find_tenants(scope, &TenantFilter::default(), cursor, limit).await
    }

    /// One page of the tenants that `filter` admits.
    ///
    /// # Errors
    /// As [`TenantStore::list`](super::TenantStore::list).
    pub async fn find_tenants(
        &self,
        scope: &PlatformScope,
        filter: &TenantFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        self.tenants.list(scope, filter, cursor, limit).await
    }

    /// Replaces a tenant's profile.
    ///
    /// # Errors
    /// As [`TenantStore::update`](super::TenantStore::update).
    pub async fn update_tenant(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        expected_version: i64,
    ) -> Result<Tenant> {
        self.noted(self.tenants.update(scope, id, profile, expected_version).await)
    }

    /// Suspends a tenant, and its projects with it: here its calls and streams end at once, elsewhere within the poll
    /// interval.
    ///
    /// # Errors
    /// As [`TenantStore::suspend`](super::TenantStore::suspend).
    pub async fn suspend_tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.noted(self.tenants.suspend(scope, id).await)
    }

    /// Lets a suspended tenant be used again, and those of its projects that are not suspended themselves.
    ///
    /// # Errors
    /// As [`TenantStore::resume`](super::TenantStore::resume).
    pub async fn resume_tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.noted(self.tenants.resume(scope, id).await)
    }

    /// Deletes a tenant, and its projects with it: refused as if it were suspended, and erased once `grace` has passed,
    /// by the [`Eraser`](crate::erasure::Eraser) of any replica. Until then it can be [restored](Self::restore_tenant).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a grace longer than [`MAX_GRACE`];
    /// as [`TenantStore::delete`](super::TenantStore::delete).
    pub async fn delete_tenant(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        grace: Duration,
    ) -> Result<Tenant> {
        if grace > MAX_GRACE {
            let days = MAX_GRACE.as_secs() / (24 * 3600);
            return Err(Error::invalid_input(
                "tenant.delete",
                format!("the grace can be {days} days at most"),
            ));
        }
        let erase_after = self.clock.now().after(grace);
        self.noted(self.tenants.delete(scope, id, erase_after).await)
    }

    /// Makes a deleted tenant what it was before.
    ///
    /// # Errors
    /// As [`TenantStore::restore`](super::TenantStore::restore).
    pub async fn restore_tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.noted(self.tenants.restore(scope, id).await)
    }

    /// The receipt of a tenant that was erased.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such tenant or it is not erased,
    /// [`Unavailable`](ErrorKind::Unavailable).
    pub async fn erasure_receipt(&self, scope: &PlatformScope, id: &TenantId) -> Result<ErasureReceipt> {
        self.tenants
            .receipt(scope, id)
            .await?
            .ok_or_else(|| Error::not_found("tenant.receipt", format!("no tenant `{id}` was erased")))
    }

    /// The tenant, which is not deleted: what is given to it will be there.
    pub(crate) async fn kept_tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        let tenant = self.tenant(scope, id).await?;
        match tenant.status {
            TenantStatus::Active | TenantStatus::Suspended => Ok(tenant),
            TenantStatus::Deleting | TenantStatus::Erased => {
                let message = format!("the tenant `{id}` is deleted; nothing can be given to it");
                Err(Error::new(ErrorKind::Conflict, "tenant.get", message))
            }
        }
    }

    /// Requires that the tenant, and its organisation, may be used: asked of the store, which knows it now.
    pub(crate) async fn require_open(
        &self,
        operation: &'static str,
        scope: &PlatformScope,
        id: &TenantId,
    ) -> Result<()> {
        let tenant = self.tenant(scope, id).await?;
        let refused = |what: &str, status: TenantStatus| {
            let status = match status {
                TenantStatus::Suspended => "suspended; resume it first",
                _ => "deleted",
            };
            Err(Error::permission_denied(operation, format!("{what} is {status}")))
        };
        if !tenant.is_active() {
            return refused(&format!("the tenant `{id}`"), tenant.status);
        }
        let Some(parent) = &tenant.parent else { return Ok(()) };
        let organisation = self.tenant(scope, parent).await?;
        match organisation.is_active() {
            true => Ok(()),
            false => refused(&format!("the organisation of `{id}`"), organisation.status),
        }
    }

    fn noted(&self, changed: Result<Tenant>) -> Result<Tenant> {
        changed.inspect(|tenant| self.directory().note(tenant))
    }
}
