//! What an administrator does with all credentials of a principal at once.

use mcp_core::{
    PlatformScope, Result,
    scope::{PrincipalId, TenantId},
};
use serde::Serialize;

use crate::{Tenancy, tenant::MAX_PAGE};

/// What ended with a principal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct EndedCredentials {
    /// API keys that were revoked, and with them their lineages of refresh tokens.
    pub keys: usize,
    /// Registrations of client certificates that were removed.
    pub certificates: usize,
}

impl Tenancy {
    /// Ends every credential of a principal: its API keys, and so the refresh tokens that were granted for
    /// them, and its client certificates. No grant goes on: here at once, elsewhere within a second. Access
    /// tokens that are out live to their end.
    ///
    /// May be repeated, and must be after an error or a cancellation: what was ended by then stays so. A
    /// credential that is made at the same moment may be missed.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn end_credentials(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        principal: &PrincipalId,
    ) -> Result<EndedCredentials> {
        self.tenant(scope, tenant).await?;
        let mut ended = EndedCredentials::default();
        let mut cursor = None;
        loop {
            let page = self.keys(scope, tenant, cursor.as_deref(), MAX_PAGE).await?;
            for key in page.items.iter().filter(|key| key.principal_id == *principal) {
                if key.revoked_at.is_none() {
                    self.revoke_key(scope, tenant, &key.id).await?;
                    ended.keys += 1;
                }
            }
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        let mut cursor = None;
        loop {
            let page = self.certificates(scope, tenant, cursor.as_deref(), MAX_PAGE).await?;
            for held in page.items.iter().filter(|held| held.principal_id == *principal) {
                self.remove_certificate(scope, tenant, &held.id).await?;
                ended.certificates += 1;
            }
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(ended),
            }
        }
    }
}
