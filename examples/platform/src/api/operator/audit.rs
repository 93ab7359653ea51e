//! `/api/v1/operator/audit`: the platform's audit chain and those of all tenants.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use mcp_core::{
    PlatformScope,
    audit::{self, Chain, VerifyReport, export::Export},
    http_api::{ApiError, Json, Path, Query},
    scope::TenantId,
};

use super::tenant_id;
use crate::{
    api::audit::{Records, Wanted, Wished, streamed},
    platform::Platform,
};

/// One page of the platform's own records, latest first.
#[utoipa::path(
    get,
    path = "/api/v1/operator/audit",
    params(Wanted),
    responses((status = 200, description = "The records, latest first.", body = Records)),
)]
pub(super) async fn of_platform(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Records>, ApiError> {
    page(&platform, &scope, Chain::Platform, wanted).await
}

/// One page of a tenant's records, latest first.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/audit",
    params(("tenant" = TenantId, Path), Wanted),
    responses((status = 200, description = "The records, latest first.", body = Records)),
)]
pub(super) async fn of_tenant(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Records>, ApiError> {
    let tenant = platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?;
    page(&platform, &scope, Chain::Tenant(tenant.id), wanted).await
}

/// What has been sealed of the platform's own chain, from the beginning or behind a link.
#[utoipa::path(
    get,
    path = "/api/v1/operator/audit/export",
    params(Wished),
    responses((status = 200, description = "A JSON object a line.", content_type = "application/x-ndjson",
        body = String)),
)]
pub(super) async fn export_of_platform(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(wished): Query<Wished>,
) -> Result<Response, ApiError> {
    export(&platform, scope, Chain::Platform, &wished).await
}

/// What has been sealed of a tenant's chain, from the beginning or behind a link.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/audit/export",
    params(("tenant" = TenantId, Path), Wished),
    responses((status = 200, description = "A JSON object a line.", content_type = "application/x-ndjson",
        body = String)),
)]
pub(super) async fn export_of_tenant(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(wished): Query<Wished>,
) -> Result<Response, ApiError> {
    let tenant = platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?;
    export(&platform, scope, Chain::Tenant(tenant.id), &wished).await
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
    wanted: Wanted,
) -> Result<Json<Records>, ApiError> {
    let (query, filter) = wanted.parts()?;
    let store = platform.administration().audit();
    Ok(Json(audit::search_chain(&*store, scope, &chain, &query, &filter).await?.into()))
}

async fn export(
    platform: &Platform,
    scope: PlatformScope,
    chain: Chain,
    wished: &Wished,
) -> Result<Response, ApiError> {
    let (after, format) = wished.parts();
    let export = Export::new(platform.administration().audit(), scope, chain, after);
    Ok(streamed(export, format).await?)
}
