//! `/api/v1/operator/tenants/{tenant}/quotas` and `/usage`: what tenants may use in a day or month, and have used.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    PlatformScope,
    http_api::{ApiError, Body, Json, Path, Query},
    limit::{Meter, Period},
    scope::{PrincipalId, TenantId},
};
use mcp_tenancy::quota::{QuotaLimit, QuotaSubject};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::tenant_id;
use crate::{
    api::{acting::Acting, quotas::Usage},
    platform::Platform,
};

/// A tenant's quotas.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Quotas {
    items: Vec<QuotaLimit>,
}

/// Which quota.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Whose use it counts.
    subject: QuotaSubject,
    /// What it counts.
    meter: Meter,
    /// By day or by month.
    period: Period,
}

/// The tenant's quotas, by subject, meter and period.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/quotas",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The quotas.", body = Quotas)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Quotas>, ApiError> {
    let items = platform.tenancy().quota_limits(&scope, &tenant_id(&tenant)?).await?;
    Ok(Json(Quotas { items }))
}

/// Sets a quota, or another amount of one: here at once, on other replicas within a second. What was used stays
/// used.
#[utoipa::path(
    put,
    path = "/api/v1/operator/tenants/{tenant}/quotas",
    request_body = QuotaLimit,
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The quota.", body = QuotaLimit)),
)]
pub(super) async fn set(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Body(limit): Body<QuotaLimit>,
) -> Result<Json<QuotaLimit>, ApiError> {
    platform.tenancy().set_quota(&scope, &tenant_id(&tenant)?, limit.clone()).await?;
    Ok(Json(limit))
}

/// Removes a quota, where it is there.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/tenants/{tenant}/quotas",
    params(("tenant" = TenantId, Path), Which),
    responses((status = 204, description = "There is no such quota any more.")),
)]
pub(super) async fn remove(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(Which { subject, meter, period }): Query<Which>,
) -> Result<StatusCode, ApiError> {
    let limit = QuotaLimit { subject, meter, period, amount: 0 };
    platform.tenancy().remove_quota(&scope, &tenant_id(&tenant)?, &limit).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose use is shown.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Shows the quotas of this principal too.
    principal: Option<PrincipalId>,
}

/// What the tenant has used of its quotas, in the day and month that run.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/usage",
    params(("tenant" = TenantId, Path), Whose),
    responses((status = 200, description = "The quotas, and what was used of them.", body = Usage)),
)]
pub(super) async fn usage(
    State(platform): State<Arc<Platform>>,
    acting: Acting,
    Query(Whose { principal }): Query<Whose>,
) -> Result<Json<Usage>, ApiError> {
    Ok(Json(Usage::of(&platform, &acting.seen_by(principal.as_ref()), principal.is_some()).await?))
}

/// Forgets all that the tenant has used: every quota of it begins anew.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/quotas/reset",
    params(("tenant" = TenantId, Path)),
    responses((status = 204, description = "They have begun anew.")),
)]
pub(super) async fn reset(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<StatusCode, ApiError> {
    platform.tenancy().reset_quotas(&scope, &tenant_id(&tenant)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
