//! `/api/v1/operator/tenants/{tenant}/tokens`: tokens of any tenant that end before their time.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    PlatformScope,
    http_api::{ApiError, Body, Json, Path},
    scope::TenantId,
};

use super::tenant_id;
use crate::{
    api::tokens::{EndedTokens, RevokedToken, TokenToRevoke, end_all},
    platform::Platform,
};

/// Refuses one token of the tenant, whoever issued it, until it expires: on every replica within a second.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/tokens/revoke",
    request_body = TokenToRevoke,
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The token, revoked.", body = RevokedToken)),
)]
pub(super) async fn revoke(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Body(token): Body<TokenToRevoke>,
) -> Result<Json<RevokedToken>, ApiError> {
    Ok(Json(token.revoke(&platform, &scope, &tenant_id(&tenant)?).await?))
}

/// Ends every token of the tenant that was issued until now; API keys go on working.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/tokens/revoke-all",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "Since when tokens are good.", body = EndedTokens)),
)]
pub(super) async fn revoke_all(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<EndedTokens>, ApiError> {
    Ok(Json(end_all(&platform, &scope, &tenant_id(&tenant)?).await?))
}
