//! `/api/v1/tokens`: tokens of the caller's tenant that end before their time.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Error, PlatformScope, Result, Scope,
    clock::{Clock as _, SystemClock, Timestamp},
    http_api::{ApiError, Body, Json, require},
    scope::TenantId,
};
use mcp_tenancy::revocation::{DeniedToken, Revocation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::on_behalf_of;
use crate::platform::Platform;

/// A token that is to be refused from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenToRevoke {
    /// Its id, `jti`.
    #[schema(min_length = 1, max_length = 256)]
    id: String,
    /// Who issued it, `iss`, letter by letter: the platform itself where it is left out.
    #[schema(min_length = 1, max_length = 512)]
    issuer: Option<String>,
    /// When it ends anyway, `exp`: it may be left out for the platform's own tokens.
    expires_at: Option<Timestamp>,
}

/// A token that was revoked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedToken {
    tenant: TenantId,
    id: String,
    issuer: String,
    /// Until when the revocation is kept.
    expires_at: Timestamp,
}

/// What was ended of a tenant's tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedTokens {
    tenant: TenantId,
    /// Tokens that were issued in that second or before are refused.
    issued_until: Timestamp,
}

/// Refuses one token, the platform's own or a foreign issuer's, until it expires: on every replica within a second.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/revoke",
    request_body = TokenToRevoke,
    responses((status = 200, description = "The token, revoked.", body = RevokedToken)),
)]
pub(super) async fn revoke(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Body(token): Body<TokenToRevoke>,
) -> Result<Json<RevokedToken>, ApiError> {
    require(&*platform.denials(), &scope, "tokens:revoke", "tokens")?;
    let above = on_behalf_of(&scope, "revokes a token")?;
    Ok(Json(token.revoke(&platform, &above, scope.tenant()).await?))
}

/// Ends every token of the tenant that was issued until now, those of foreign issuers too. API keys go on working, and
/// so do the refresh tokens that were granted for them.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/revoke-all",
    responses((status = 200, description = "Since when tokens are good.", body = EndedTokens)),
)]
pub(super) async fn revoke_all(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<EndedTokens>, ApiError> {
    require(&*platform.denials(), &scope, "tokens:revoke", "tokens")?;
    let above = on_behalf_of(&scope, "ends all its tokens")?;
    Ok(Json(end_all(&platform, &above, scope.tenant()).await?))
}

impl TokenToRevoke {
    pub(super) async fn revoke(
        self,
        platform: &Platform,
        scope: &PlatformScope,
        tenant: &TenantId,
    ) -> Result<RevokedToken> {
        let tokens = platform.identity().tokens();
        let expires_at = match (&self.issuer, self.expires_at) {
            (_, Some(at)) => at,
            // It cannot live for longer than tokens do, and was issued before now.
            (None, None) => SystemClock.now().after(tokens.max_lifetime),
            (Some(_), None) => {
                let message = "`expires_at` must say when a foreign issuer's token ends anyway";
                return Err(Error::invalid_input("token.revoke", message));
            }
        };
        let issuer = self.issuer.unwrap_or_else(|| tokens.issuer_of(tenant));
        let denied = DeniedToken { tenant: tenant.clone(), issuer, id: self.id, expires_at };
        platform.tenancy().revoke_token(scope, denied.clone()).await?;
        let DeniedToken { tenant, issuer, id, expires_at } = denied;
        Ok(RevokedToken { tenant, id, issuer, expires_at })
    }
}

pub(super) async fn end_all(
    platform: &Platform,
    scope: &PlatformScope,
    tenant: &TenantId,
) -> Result<EndedTokens> {
    match platform.tenancy().end_tokens(scope, tenant).await?.revocation {
        Revocation::All { tenant, issued_until } => Ok(EndedTokens { tenant, issued_until }),
        Revocation::Token(_) => Err(Error::internal("token.revoke", "one token was ended in place of all")),
    }
}
