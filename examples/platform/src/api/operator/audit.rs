//! `/api/v1/operator/audit`: the platform's audit chain and those of all tenants.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    PlatformScope,
    audit::{self, AuditQuery, Chain, VerifyReport},
    http_api::{ApiError, Json, Listing, Path, Query},
    scope::TenantId,
};

use super::tenant_id;
use crate::{api::audit::Records, platform::Platform};

/// One page of the platform's own records, latest first.
#[utoipa::path(
    get,
    path = "/api/v1/operator/audit",
    params(Listing),
    responses((status = 200, description = "The records, latest first.", body = Records)),
)]
pub(super) async fn of_platform(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Records>, ApiError> {
    page(&platform, &scope, Chain::Platform, listing).await
}

/// One page of a tenant's records, latest first.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/audit",
    params(("tenant" = TenantId, Path), Listing),
    responses((status = 200, description = "The records, latest first.", body = Records)),
)]
pub(super) async fn of_tenant(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Records>, ApiError> {
    let tenant = platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?;
    page(&platform, &scope, Chain::Tenant(tenant.id), listing).await
}

/// Recomputes every chain and compares it with the signed checkpoints outside of the database.
#[utoipa::path(
    post,
    path = "/api/v1/operator/audit/verify",
    responses((status = 200, description = "What was found.", body = VerifyReport)),
)]
pub(super) async fn verify(State(platform): State<Arc<Platform>>) -> Result<Json<VerifyReport>, ApiError> {
    Ok(Json(platform.administration().verify_audit().await?))
}

async fn page(
    platform: &Platform,
    scope: &PlatformScope,
    chain: Chain,
    listing: Listing,
) -> Result<Json<Records>, ApiError> {
    let query = AuditQuery { limit: listing.limit, cursor: listing.cursor, oldest_first: false };
    let page = audit::page(&*platform.administration().audit(), scope, &chain, &query).await?;
    Ok(Json(page.into()))
}
