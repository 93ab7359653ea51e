//! What erases a tenant's credentials and keys, on every backend.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    ErrorKind, PlatformScope, Result,
    erase::{Erased, TenantEraser},
    key::DataKeys,
    scope::TenantId,
};

use crate::{
    certificate::MemoryCertificateStore,
    issuer::{IssuerStore, MemoryIssuerStore},
    key::MemoryKeyStore,
    quota::MemoryQuotaStore,
    refresh::MemoryRefreshStore,
    revocation::MemoryRevocationStore,
    tenant::MAX_PAGE,
    token::MemorySigningKeyStore,
};

/// Removes a tenant's issuers, before their rows go: so every replica hears that it must not trust them.
#[derive(Debug)]
pub(super) struct IssuerPart(pub(super) Arc<dyn IssuerStore>);

#[async_trait]
impl TenantEraser for IssuerPart {
    fn name(&self) -> &'static str {
        "issuers"
    }

    async fn erase(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let (mut erased, mut cursor) = (Erased::default(), None::<String>);
        loop {
            let page = self.0.list(scope, Some(tenant), cursor.as_deref(), MAX_PAGE).await?;
            for issuer in page.items {
                match self.0.remove(scope, &issuer.id, issuer.version).await {
                    Ok(_) => erased.count("issuer", 1),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(erased);
            }
        }
    }
}

/// Destroys a tenant's data keys: what they sealed cannot be opened any more, wherever a copy of it is.
#[derive(Debug)]
pub(super) struct DataKeyPart(pub(super) Arc<DataKeys>);

#[async_trait]
impl TenantEraser for DataKeyPart {
    fn name(&self) -> &'static str {
        "data-keys"
    }

    async fn erase(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let shredded = self.0.shred(scope, tenant).await?;
        let mut erased = Erased { wrapping_keys: shredded.wrapping_keys, ..Erased::default() };
        erased.count("data_key", u64::from(shredded.keys));
        Ok(erased)
    }
}

/// The stores of a [`Tenancy`](crate::Tenancy) in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryStores {
    pub(crate) keys: MemoryKeyStore,
    pub(crate) signing_keys: MemorySigningKeyStore,
    pub(crate) issuers: MemoryIssuerStore,
    pub(crate) revocations: MemoryRevocationStore,
    pub(crate) refresh: MemoryRefreshStore,
    pub(crate) certificates: MemoryCertificateStore,
    pub(crate) quotas: MemoryQuotaStore,
}

#[async_trait]
impl TenantEraser for MemoryStores {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn erase(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let mut erased = Erased::default();
        for (what, count) in [
            ("api_key", self.keys.erase(tenant)),
            ("signing_key", self.signing_keys.erase(tenant)),
            ("issuer", self.issuers.erase(tenant)),
            ("token_revocation", self.revocations.erase(tenant)),
            ("refresh_family", self.refresh.erase(tenant)),
            ("certificate_identity", self.certificates.erase(tenant)),
            ("quota", self.quotas.erase(tenant)),
        ] {
            erased.count(what, count);
        }
        Ok(erased)
    }
}
