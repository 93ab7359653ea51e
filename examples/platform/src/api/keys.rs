//! `/api/v1/keys`: the API keys of the caller's tenant.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Error, PlatformScope, Result, Scope,
    clock::Timestamp,
    http_api::{ApiError, Body, Json, Listing, Path, Query, deny, require},
    scope::{Permission, Permissions, PrincipalId},
};
use mcp_tenancy::{
    key::{ApiKey, IssuedKey, KeyId, NewApiKey},
    tenant::Page,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::platform::Platform;

/// One page of the tenant's keys, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    params(Listing),
    responses((status = 200, description = "The keys, in the order of their ids.", body = Page<ApiKey>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    require(&*platform.denials(), &scope, "keys:read", "keys")?;
    let above = on_behalf_of(&scope, "lists its API keys")?;
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().keys(&above, scope.tenant(), cursor, listing.limit).await?))
}

/// A key to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    pub(super) name: String,
    pub(super) principal: String,
    pub(super) permissions: Vec<Permission>,
    pub(super) expires_at: Option<Timestamp>,
}

/// A key that was just created.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedKey {
    #[serde(flatten)]
    key: ApiKey,
    /// The whole text, in this answer and nowhere else.
    secret: String,
}

impl From<IssuedKey> for CreatedKey {
    fn from(issued: IssuedKey) -> Self {
        Self { secret: issued.text.expose().clone(), key: issued.key }
    }
}

/// Creates a key; nobody can give what they do not hold, nor a key of another principal without
/// `principals:assume`.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    request_body = NewKey,
    responses((status = 201, description = "The key, and its secret.", body = CreatedKey)),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    require(&*platform.denials(), &scope, "keys:write", "keys")?;
    if let Some(missing) = new.permissions.iter().find(|wanted| !holds(&scope, wanted)) {
        let message = format!("a key cannot be given `{missing}`, which its creator does not have");
        return Err(deny(
            &*platform.denials(),
            &scope,
            "keys",
            Error::permission_denied("key.create", message),
        ));
    }
    if new.principal != scope.principal().id.as_str() {
        // Whoever holds such a key acts as that principal, in its sessions and in the audit log.
        require(&*platform.denials(), &scope, "principals:assume", &format!("principal/{}", new.principal))?;
    }
    let permissions: Permissions = new.permissions.into_iter().collect();
    let mut key = NewApiKey::service(scope.tenant().clone(), new.name, &new.principal, permissions)?;
    key.expires_at = new.expires_at;
    let issued = platform.tenancy().create_key(&on_behalf_of(&scope, "creates an API key")?, key).await?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}

/// Revokes a key. Another tenant's key answers as one that does not exist.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{key}",
    params(("key" = KeyId, Path)),
    responses((status = 200, description = "The key, revoked.", body = ApiKey)),
)]
pub(super) async fn revoke(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Path(key): Path<String>,
) -> Result<Json<ApiKey>, ApiError> {
    require(&*platform.denials(), &scope, "keys:write", &format!("key/{key}"))?;
    let id = KeyId::parse(&key).map_err(|_| Error::not_found("key.revoke", "there is no such key"))?;
    let above = on_behalf_of(&scope, "revokes an API key")?;
    let revoked = platform.tenancy().revoke_key(&above, scope.tenant(), &id).await;
    // One answer for every key that is not the tenant's, whatever the store says of it.
    Ok(Json(revoked.map_err(|error| match error.kind() {
        mcp_core::ErrorKind::NotFound => Error::not_found("key.revoke", "there is no such key"),
        _ => error,
    })?))
}

/// Whether the caller holds `wanted` itself: a wildcard can be given only by one who holds it as wide.
fn holds(scope: &Scope, wanted: &Permission) -> bool {
    scope.principal().permissions.allows(wanted.as_str())
}

/// The scope of a tenant's principal that administers its own tenant.
pub(super) fn on_behalf_of(scope: &Scope, reason: &str) -> Result<PlatformScope> {
    let (tenant, principal) = (scope.tenant(), &scope.principal().id);
    // Both may be long; the reason names them in full.
    let name: String = format!("{tenant}/{principal}").chars().take(128).collect();
    Ok(PlatformScope::new(PrincipalId::parse(&name)?, format!("{principal} of {tenant} {reason}")))
}
