//! `/api/v1/quotas`: what the caller's tenant may use in a day or month, and has used.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Result, Scope,
    http_api::{ApiError, Json, require},
};
use mcp_tenancy::quota::{QuotaSubject, QuotaUsage};
use serde::Serialize;
use utoipa::ToSchema;

use crate::platform::Platform;

/// The quotas that apply, and what was used of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    items: Vec<QuotaUsage>,
}

impl Usage {
    /// What was used of the quotas of the scope's tenant and, if asked, of its principal.
    pub(super) async fn of(platform: &Platform, scope: &Scope, and_principal: bool) -> Result<Self> {
        let mut items = platform.tenancy().quotas().usage(scope).await?;
        items.retain(|usage| and_principal || usage.subject == QuotaSubject::Tenant);
        Ok(Self { items })
    }
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
    Ok(Json(Usage::of(&platform, &scope, true).await?))
}
