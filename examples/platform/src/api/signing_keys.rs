//! `/api/v1/signing-keys`: the keys that sign the tokens of the caller's tenant.

use std::{sync::Arc, time::Duration};

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    http_api::{ApiError, Body, Json, Path, require},
};
use mcp_tenancy::token::{Rotation, SigningAlgorithm, SigningKeyInfo};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::on_behalf_of;
use crate::platform::Platform;

/// Longest name of a signing key.
const MAX_KID: usize = 64;

/// The signing keys of a tenant, newest first; there are 16 at most.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SigningKeys {
    items: Vec<SigningKeyInfo>,
}

impl From<Vec<SigningKeyInfo>> for SigningKeys {
    fn from(items: Vec<SigningKeyInfo>) -> Self {
        Self { items }
    }
}

/// The key that is to follow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NextSigningKey {
    /// What it signs with; what the platform is configured for where it is left out.
    algorithm: Option<SigningAlgorithm>,
    /// For how long it is published before it signs, so that those who keep the tenant's JWKS know it by then: 600
    /// where it is left out. For a key that has leaked, 5.
    #[schema(minimum = 5, maximum = 86_400)]
    lead_seconds: Option<u64>,
}

impl NextSigningKey {
    pub(super) fn rotation(&self, platform: &Platform) -> Rotation {
        let algorithm = self.algorithm.unwrap_or(platform.identity().tokens().algorithm);
        let lead = self.lead_seconds.map_or(Rotation::default().lead, Duration::from_secs);
        Rotation { algorithm, lead }
    }
}

/// The tenant's signing keys and where each is in its life; no key material.
#[utoipa::path(
    get,
    path = "/api/v1/signing-keys",
    responses((status = 200, description = "The keys, newest first.", body = SigningKeys)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<SigningKeys>, ApiError> {
    require(&*platform.denials(), &scope, "signing_keys:read", "signing_keys")?;
    let above = on_behalf_of(&scope, "lists its signing keys")?;
    Ok(Json(platform.tenancy().signing_keys(&above, scope.tenant()).await?.into()))
}

/// Makes the next signing key. It is published at once and signs after the lead; what was signed before stays good, so
/// that no token is refused for the rotation. While there is a next key already, this is a conflict.
#[utoipa::path(
    post,
    path = "/api/v1/signing-keys",
    request_body = NextSigningKey,
    responses((status = 201, description = "The key.", body = SigningKeyInfo)),
)]
pub(super) async fn rotate(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Body(next): Body<NextSigningKey>,
) -> Result<(StatusCode, Json<SigningKeyInfo>), ApiError> {
    require(&*platform.denials(), &scope, "signing_keys:write", "signing_keys")?;
    let above = on_behalf_of(&scope, "rotates its signing keys")?;
    let rotation = next.rotation(&platform);
    let made = platform.tenancy().rotate_signing_key(&above, scope.tenant(), rotation).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Removes a signing key that does not sign, because it leaked: every token that it signed is refused.
#[utoipa::path(
    delete,
    path = "/api/v1/signing-keys/{kid}",
    params(("kid" = String, Path, max_length = 64, pattern = "^[A-Za-z0-9_-]+$")),
    responses((status = 200, description = "The key, removed.", body = SigningKeyInfo)),
)]
pub(super) async fn remove(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Path(kid): Path<String>,
) -> Result<Json<SigningKeyInfo>, ApiError> {
    require(&*platform.denials(), &scope, "signing_keys:write", &format!("signing_key/{kid}"))?;
    let above = on_behalf_of(&scope, "removes a signing key")?;
    let removed = platform.tenancy().remove_signing_key(&above, scope.tenant(), parse_kid(&kid)?).await;
    Ok(Json(removed.map_err(|error| match error.kind() {
        ErrorKind::NotFound => no_such_key(),
        _ => error,
    })?))
}

/// The name of a signing key; what can be none names none.
pub(super) fn parse_kid(text: &str) -> Result<&str> {
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match (1..=MAX_KID).contains(&text.len()) && text.bytes().all(ok) {
        true => Ok(text),
        false => Err(no_such_key()),
    }
}

fn no_such_key() -> Error {
    Error::not_found("signing_key.remove", "there is no such signing key")
}
