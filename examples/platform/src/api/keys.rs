//! `/api/v1/keys`: the API keys of the caller's tenant.

use std::{sync::Arc, time::Duration};

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    clock::Timestamp,
    http_api::{ApiError, Body, Json, Listing, Path, Query, deny, require},
    scope::{Permission, Permissions, PrincipalId},
};
use mcp_tenancy::{
    auth::Identity,
    key::{ApiKey, IssuedKey, KeyId, NewApiKey},
    tenant::Page,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::platform::Platform;

/// One answer for every key that is not the tenant's, whatever the store says of it.
const NO_KEY: &str = "there is no such key";

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
/// `principals:assume`, nor one that outlives their own credential.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    request_body = NewKey,
    responses((status = 201, description = "The key, and its secret.", body = CreatedKey)),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Extension(identity): Extension<Identity>,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    require(&*platform.denials(), &scope, "keys:write", "keys")?;
    let permissions: Permissions = new.permissions.into_iter().collect();
    let mut key = NewApiKey::service(scope.tenant().clone(), new.name, &new.principal, permissions)?;
    key.expires_at = new.expires_at;
    let (above, maker) = (on_behalf_of(&scope, "creates an API key")?, maker(&scope, &identity));
    let issued = platform.tenancy().mint_key(&above, &maker, key).await;
    let issued = issued.map_err(|error| refused(&platform, &scope, "keys", error))?;
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
    let id = KeyId::parse(&key).map_err(|_| Error::not_found("key.revoke", NO_KEY))?;
    let above = on_behalf_of(&scope, "revokes an API key")?;
    let revoked = platform.tenancy().revoke_key(&above, scope.tenant(), &id).await;
    Ok(Json(revoked.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found("key.revoke", NO_KEY),
        _ => error,
    })?))
}

/// A key's rotation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRotation {
    /// For how long the secret before goes on working, 90 days at most: not at all where it is left out.
    #[serde(default)]
    #[schema(maximum = 7_776_000)]
    overlap_seconds: u64,
}

impl KeyRotation {
    pub(super) const fn overlap(&self) -> Duration {
        Duration::from_secs(self.overlap_seconds)
    }
}

/// Gives a key a new secret under the same id; the one before goes on working for the overlap, and one before that
/// ends. Only who could have made the key can rotate it.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{key}/rotate",
    request_body = KeyRotation,
    params(("key" = KeyId, Path)),
    responses((status = 200, description = "The key, and its new secret.", body = CreatedKey)),
)]
pub(super) async fn rotate(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
    Body(rotation): Body<KeyRotation>,
) -> Result<Json<CreatedKey>, ApiError> {
    let resource = format!("key/{key}");
    require(&*platform.denials(), &scope, "keys:write", &resource)?;
    let id = KeyId::parse(&key).map_err(|_| Error::not_found("key.rotate", NO_KEY))?;
    let (above, maker) = (on_behalf_of(&scope, "rotates an API key")?, maker(&scope, &identity));
    let rotated = platform.tenancy().rotate_key_for(&above, &maker, &id, rotation.overlap()).await;
    let rotated = rotated.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found("key.rotate", NO_KEY).into(),
        _ => refused(&platform, &scope, &resource, error),
    })?;
    Ok(Json(rotated.into()))
}

/// Whoever makes credentials, with what it may do now: that may be other than what its credential says.
pub(super) fn maker(scope: &Scope, identity: &Identity) -> Identity {
    Identity {
        tenant: scope.tenant().clone(),
        principal: Arc::new(scope.principal().clone()),
        ..identity.clone()
    }
}

/// The error as it is answered; a denial goes into the audit chain of the caller's tenant.
pub(super) fn refused(platform: &Platform, scope: &Scope, resource: &str, error: Error) -> ApiError {
    match error.kind() {
        ErrorKind::PermissionDenied => deny(&*platform.denials(), scope, resource, error),
        _ => error.into(),
    }
}

/// The scope of a tenant's principal that administers its own tenant.
pub(super) fn on_behalf_of(scope: &Scope, reason: &str) -> Result<PlatformScope> {
    let (tenant, principal) = (scope.tenant(), &scope.principal().id);
    // Both may be long; the reason names them in full.
    let name: String = format!("{tenant}/{principal}").chars().take(128).collect();
    Ok(PlatformScope::new(PrincipalId::parse(&name)?, format!("{principal} of {tenant} {reason}")))
}
