//! `/api/v1/operator/tenants/{tenant}/keys`: the API keys of any tenant.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Error, PlatformScope,
    http_api::{ApiError, Body, Json, Listing, Path, Query},
    scope::TenantId,
};
use mcp_tenancy::{
    key::{ApiKey, KeyId, NewApiKey},
    tenant::Page,
};

use super::tenant_id;
use crate::{
    api::keys::{CreatedKey, KeyRotation, NewKey},
    platform::Platform,
};

/// One page of the tenant's keys, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/keys",
    params(("tenant" = TenantId, Path), Listing),
    responses((status = 200, description = "The keys, in the order of their ids.", body = Page<ApiKey>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let tenant = platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?;
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().keys(&scope, &tenant.id, cursor, listing.limit).await?))
}

/// Creates a key of the tenant; its secret is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/keys",
    request_body = NewKey,
    params(("tenant" = TenantId, Path)),
    responses((status = 201, description = "The key, and its secret.", body = CreatedKey)),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    let permissions = new.permissions.into_iter().collect();
    let mut key = NewApiKey::service(tenant_id(&tenant)?, new.name, &new.principal, permissions)?;
    key.expires_at = new.expires_at;
    let issued = platform.tenancy().create_key(&scope, key).await?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}

/// Revokes a key of the tenant; it stops working within a second.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/tenants/{tenant}/keys/{key}",
    params(("tenant" = TenantId, Path), ("key" = KeyId, Path)),
    responses((status = 200, description = "The key, revoked.", body = ApiKey)),
)]
pub(super) async fn revoke(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path((tenant, key)): Path<(String, String)>,
) -> Result<Json<ApiKey>, ApiError> {
    let id = KeyId::parse(&key)
        .map_err(|_| Error::not_found("key.revoke", format!("the tenant has no key `{key}`")))?;
    Ok(Json(platform.tenancy().revoke_key(&scope, &tenant_id(&tenant)?, &id).await?))
}

/// Gives a key of the tenant a new secret under the same id; the one before goes on working for the overlap.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/keys/{key}/rotate",
    request_body = KeyRotation,
    params(("tenant" = TenantId, Path), ("key" = KeyId, Path)),
    responses((status = 200, description = "The key, and its new secret.", body = CreatedKey)),
)]
pub(super) async fn rotate(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path((tenant, key)): Path<(String, String)>,
    Body(rotation): Body<KeyRotation>,
) -> Result<Json<CreatedKey>, ApiError> {
    let id = KeyId::parse(&key)
        .map_err(|_| Error::not_found("key.rotate", format!("the tenant has no key `{key}`")))?;
    let tenant = tenant_id(&tenant)?;
    Ok(Json(platform.tenancy().rotate_key(&scope, &tenant, &id, rotation.overlap()).await?.into()))
}
