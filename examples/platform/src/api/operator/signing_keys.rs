//! `/api/v1/operator/tenants/{tenant}/signing-keys`: the keys that sign the tokens of any tenant.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    PlatformScope,
    http_api::{ApiError, Body, Json, Path},
    scope::TenantId,
};
use mcp_tenancy::token::SigningKeyInfo;

use super::tenant_id;
use crate::{
    api::signing_keys::{NextSigningKey, SigningKeys, parse_kid},
    platform::Platform,
};

/// The tenant's signing keys and where each is in its life; no key material.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/signing-keys",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The keys, newest first.", body = SigningKeys)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<SigningKeys>, ApiError> {
    Ok(Json(platform.tenancy().signing_keys(&scope, &tenant_id(&tenant)?).await?.into()))
}

/// Makes the tenant's next signing key, which signs after the lead; what was signed before stays good.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/signing-keys",
    request_body = NextSigningKey,
    params(("tenant" = TenantId, Path)),
    responses((status = 201, description = "The key.", body = SigningKeyInfo)),
)]
pub(super) async fn rotate(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Body(next): Body<NextSigningKey>,
) -> Result<(StatusCode, Json<SigningKeyInfo>), ApiError> {
    let (tenant, rotation) = (tenant_id(&tenant)?, next.rotation(&platform));
    let made = platform.tenancy().rotate_signing_key(&scope, &tenant, rotation).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Removes a signing key of the tenant that does not sign: every token that it signed is refused.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/tenants/{tenant}/signing-keys/{kid}",
    params(
        ("tenant" = TenantId, Path),
        ("kid" = String, Path, max_length = 64, pattern = "^[A-Za-z0-9_-]+$"),
    ),
    responses((status = 200, description = "The key, removed.", body = SigningKeyInfo)),
)]
pub(super) async fn remove(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path((tenant, kid)): Path<(String, String)>,
) -> Result<Json<SigningKeyInfo>, ApiError> {
    let (tenant, kid) = (tenant_id(&tenant)?, parse_kid(&kid)?);
    Ok(Json(platform.tenancy().remove_signing_key(&scope, &tenant, kid).await?))
}
