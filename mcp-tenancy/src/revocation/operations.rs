//! What an administrator does to tokens that are out.

use std::sync::Arc;

use mcp_core::{PlatformScope, Result, scope::TenantId};

use super::{DeniedToken, RevocationChange, RevocationDirectory};
use crate::Tenancy;

impl Tenancy {
    /// What the verifiers of tokens ask.
    #[must_use]
    pub const fn revocations(&self) -> &Arc<RevocationDirectory> {
        &self.revocations
    }

    /// Refuses one token, the platform's own or a foreign one, until it expires: here at once, elsewhere within
    /// the directory's poll interval.
    ///
    /// # Errors
    /// As [`RevocationStore::deny`](super::RevocationStore::deny); `NotFound` if there is no such tenant.
    pub async fn revoke_token(&self, scope: &PlatformScope, token: DeniedToken) -> Result<RevocationChange> {
        self.tenant(scope, &token.tenant).await?;
        let change = self.revocation_store.deny(scope, token).await?;
        self.revocations.note(&change);
        Ok(change)
    }

    /// Ends every token of a tenant that was issued until now, the platform's own and foreign ones: here at once,
    /// elsewhere within the directory's poll interval. API keys live on, and the refresh tokens granted for them:
    /// [`end_credentials`](Self::end_credentials) ends those of a principal.
    ///
    /// # Errors
    /// As [`RevocationStore::end_all`](super::RevocationStore::end_all); `NotFound` if there is no such tenant.
    pub async fn end_tokens(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<RevocationChange> {
        self.tenant(scope, tenant).await?;
        let change = self.revocation_store.end_all(scope, tenant).await?;
        self.revocations.note(&change);
        Ok(change)
    }
}
