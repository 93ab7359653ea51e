//! `/api/v1/operator/data-keys`: the keys that seal what is tenants', and what wraps them.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    http_api::{ApiError, Json, Path, Query},
    key::{KeyHealth, RewrapBatch},
    scope::TenantId,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::tenant_id;
use crate::platform::Platform;

/// What wraps the data keys of tenants.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Wrapping {
    vault: VaultHealth,
    /// What live data keys are wrapped by. A wrapping key that is not here may be retired.
    wrapping_keys: Vec<WrappingKey>,
}

/// How the vault does.
#[derive(Debug, Serialize, ToSchema)]
struct VaultHealth {
    /// `unknown` until it is asked first, `up`, `away`, or `refusing`.
    state: &'static str,
    since: Timestamp,
    /// What kind its last failure was of.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    /// How long open keys go on while it is away.
    hold_seconds: u64,
}

impl From<KeyHealth> for VaultHealth {
    fn from(health: KeyHealth) -> Self {
        Self {
            state: health.vault.as_str(),
            since: health.since,
            failure: health.failure.map(mcp_core::ErrorKind::as_str),
            hold_seconds: health.hold.as_secs(),
        }
    }
}

/// A wrapping key.
#[derive(Debug, Serialize, ToSchema)]
struct WrappingKey {
    name: String,
    /// How many data keys it wraps.
    data_keys: u64,
}

/// How the vault does, and what it wraps data keys by.
#[utoipa::path(
    get,
    path = "/api/v1/operator/data-keys",
    responses((status = 200, description = "Vault and wrapping keys.", body = Wrapping)),
)]
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
) -> Result<Json<Wrapping>, ApiError> {
    let data_keys = platform.tenancy().data_keys();
    let wrapping = data_keys.wrapping_keys(&scope).await?.into_iter();
    let wrapping_keys = wrapping.map(|(name, data_keys)| WrappingKey { name, data_keys }).collect();
    Ok(Json(Wrapping { vault: data_keys.health().into(), wrapping_keys }))
}

/// Which tenants' keys are next.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Next {
    /// `next` of the call before; from the beginning without it.
    #[param(value_type = Option<TenantId>)]
    after: Option<String>,
    /// How many tenants at most.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

const fn default_limit() -> u32 {
    100
}

/// How far wrapping anew has come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rewrapped {
    /// Tenants that were looked at.
    tenants: u64,
    /// Keys that were wrapped anew.
    rewrapped: u64,
    /// Tenants of which a key does not open; their keys stay as they are.
    failed: Vec<TenantId>,
    /// Go on with this as `after`; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<TenantId>,
}

impl From<RewrapBatch> for Rewrapped {
    fn from(batch: RewrapBatch) -> Self {
        let RewrapBatch { tenants, rewrapped, failed, next } = batch;
        Self { tenants, rewrapped, failed, next }
    }
}

/// Wraps the data keys of the next tenants by the vault's current key; those that are stay as they are.
#[utoipa::path(
    post,
    path = "/api/v1/operator/data-keys/rewrap",
    params(Next),
    responses((status = 200, description = "How far it has come.", body = Rewrapped)),
)]
pub(super) async fn rewrap(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(Next { after, limit }): Query<Next>,
) -> Result<Json<Rewrapped>, ApiError> {
    let after = after.as_deref().map(TenantId::parse).transpose()?;
    Ok(Json(platform.tenancy().rewrap_data_keys(&scope, after.as_ref(), limit).await?.into()))
}

/// A new data key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKeyVersion {
    version: u32,
}

/// Gives a tenant a new data key, which seals from now on. What earlier ones sealed still opens.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/data-keys/rotate",
    params(("tenant" = TenantId, Path)),
    responses((status = 201, description = "Its number.", body = NewKeyVersion)),
)]
pub(super) async fn rotate(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<(StatusCode, Json<NewKeyVersion>), ApiError> {
    let version = platform.tenancy().rotate_data_key(&scope, &tenant_id(&tenant)?).await?;
    Ok((StatusCode::CREATED, Json(NewKeyVersion { version })))
}
