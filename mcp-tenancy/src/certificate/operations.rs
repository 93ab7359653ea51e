//! What an operator does with client certificates.

use mcp_core::{PlatformScope, Result, scope::TenantId};

use super::{CertificateIdentity, NewCertificateIdentity};
use crate::{
    Tenancy,
    key::{KeyId, generate_id},
    tenant::Page,
};

impl Tenancy {
    /// Registers the certificates with a subject for a principal of a tenant.
    ///
    /// Only an operator should: whoever registers a subject says whose certificates those are.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), `NotFound` if there is no such tenant, as
    /// [`CertificateStore::insert`](super::CertificateStore::insert).
    pub async fn register_certificate(
        &self,
        scope: &PlatformScope,
        new: NewCertificateIdentity,
    ) -> Result<CertificateIdentity> {
        let now = self.clock.now();
        new.validate(now)?;
        self.kept_tenant(scope, &new.tenant).await?;
        let identity = CertificateIdentity::create(new, generate_id()?, now);
        self.certificates.insert(scope, identity.clone()).await?;
        self.peers.forget();
        Ok(identity)
    }

    /// One page of a tenant's registered certificates.
    ///
    /// # Errors
    /// As [`CertificateStore::list`](super::CertificateStore::list).
    pub async fn certificates(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CertificateIdentity>> {
        self.certificates.list(scope, tenant, cursor, limit).await
    }

    /// Removes a registration: here at once, elsewhere within a second. Connections stay open; their requests
    /// are refused.
    ///
    /// # Errors
    /// As [`CertificateStore::remove`](super::CertificateStore::remove).
    pub async fn remove_certificate(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
    ) -> Result<CertificateIdentity> {
        let removed = self.certificates.remove(scope, tenant, id).await?;
        self.peers.forget();
        Ok(removed)
    }
}
