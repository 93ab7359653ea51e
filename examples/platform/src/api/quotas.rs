//! `/api/v1/quotas`: what the caller's tenant may use in a day or month, and has used.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Scope,
    http_api::{ApiError, Json, require},
};
use mcp_tenancy::quota::QuotaUsage;
use serde::Serialize;
use utoipa::ToSchema;

use crate::platform::Platform;

/// The quotas that apply to the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    items: Vec<QuotaUsage>,
}

/// The quotas of the tenant and of the caller's principal, with what was used of them; needs `quotas:read`.
#[utoipa::path(
    get,
    path = "/api/v1/quotas",
    responses((status = 200, description = "The quotas.", body = Usage)),
)]
pub(super) async fn usage(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Usage>, ApiError> {
    require(&*platform.denials(), &scope, "quotas:read", "quotas")?;
    Ok(Json(Usage { items: platform.tenancy().quotas().usage(&scope).await? }))
}
