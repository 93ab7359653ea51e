//! What an administrator does with issuers.

use std::sync::Arc;

use mcp_core::{
    PlatformScope, Result,
    key::{MasterKey, Secret},
    scope::TenantId,
};

use super::{Issuer, IssuerId, IssuerSpec, IssuerStore, IssuerWrite, store::not_found};
use crate::{
    Tenancy,
    tenant::{DirectoryConfig, Page},
};

/// An issuer to be declared, or declared anew.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// Its name here.
    pub id: IssuerId,
    /// What is declared.
    pub spec: IssuerSpec,
    /// The client's secret, where the issuer is asked by introspection.
    pub secret: Option<Secret<String>>,
    /// The version it must have; `None` if there must be none of that id.
    pub expected_version: Option<i64>,
}

impl NewIssuer {
    /// An issuer that was not there, without a secret.
    #[must_use]
    pub const fn new(id: IssuerId, spec: IssuerSpec) -> Self {
        Self { id, spec, secret: None, expected_version: None }
    }
}

/// What the operations need, and who must hear of them.
#[derive(Debug)]
pub(crate) struct Issuers {
    pub(crate) store: Arc<dyn IssuerStore>,
    pub(crate) master: MasterKey,
    #[cfg_attr(not(feature = "issuers"), expect(dead_code, reason = "for whoever follows issuers"))]
    pub(crate) directory: DirectoryConfig,
    #[cfg(feature = "issuers")]
    pub(crate) followed: std::sync::OnceLock<Arc<crate::foreign::IssuerDirectory>>,
}

impl Issuers {
    pub(crate) const fn new(
        store: Arc<dyn IssuerStore>,
        master: MasterKey,
        directory: DirectoryConfig,
    ) -> Self {
        Self {
            store,
            master,
            directory,
            #[cfg(feature = "issuers")]
            followed: std::sync::OnceLock::new(),
        }
    }

    /// Lets whoever follows issuers in this process hear of a change before the next poll would find it.
    async fn changed(&self) {
        #[cfg(feature = "issuers")]
        if let Some(directory) = self.followed.get()
            && let Err(error) = directory.refresh().await
        {
            tracing::warn!(error = error.report(), "a changed issuer takes effect with the next poll");
        }
    }
}

/// What a client secret is bound to where it is sealed.
pub(super) fn place(id: &IssuerId) -> [&str; 2] {
    ["issuer", id.as_str()]
}

impl Tenancy {
    /// Declares an issuer, or declares it anew: here it counts at once, elsewhere within the directory's poll
    /// interval. Tokens that were verified under the former declaration are verified again.
    ///
    /// # Errors
    /// As [`IssuerStore::put`]; `NotFound` if there is no such tenant.
    pub async fn put_issuer(&self, scope: &PlatformScope, new: NewIssuer) -> Result<Issuer> {
        new.spec.validate()?;
        if let Some(tenant) = &new.spec.tenant {
            self.kept_tenant(scope, tenant).await?;
        }
        let seal =
            |secret: Secret<String>| self.issuers.master.seal(secret.expose().as_bytes(), &place(&new.id));
        let sealed_secret = new.secret.map(seal).transpose()?;
        let write =
            IssuerWrite { id: new.id, spec: new.spec, sealed_secret, expected_version: new.expected_version };
        let issuer = self.issuers.store.put(scope, write).await?;
        self.issuers.changed().await;
        Ok(issuer)
    }

    /// Removes an issuer: here its tokens are refused at once, elsewhere within the directory's poll interval.
    ///
    /// # Errors
    /// As [`IssuerStore::remove`].
    pub async fn remove_issuer(
        &self,
        scope: &PlatformScope,
        id: &IssuerId,
        expected_version: i64,
    ) -> Result<Issuer> {
        let removed = self.issuers.store.remove(scope, id, expected_version).await?;
        self.issuers.changed().await;
        Ok(removed)
    }

    /// The issuer.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound), [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn issuer(&self, scope: &PlatformScope, id: &IssuerId) -> Result<Issuer> {
        let stored = self.issuers.store.get(scope, id).await?;
        Ok(stored.ok_or_else(|| not_found("issuer.get", id))?.issuer)
    }

    /// One page of the issuers of a tenant, or of all.
    ///
    /// # Errors
    /// As [`IssuerStore::list`].
    pub async fn issuers(
        &self,
        scope: &PlatformScope,
        tenant: Option<&TenantId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Issuer>> {
        self.issuers.store.list(scope, tenant, cursor, limit).await
    }
}
