//! `/api/v1/operator/tenants`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Extension, extract::State};
use http::{HeaderMap, StatusCode};
use mcp_core::{
    Error, PlatformScope, Result,
    http_api::{ApiError, Body, Json, Path, Query, default_limit, page_limit},
    scope::TenantId,
};
use mcp_tenancy::tenant::{
    DeclaredTenant, ErasureReceipt, Name, Page, SchemaName, Tenant, TenantFilter, TenantLimits, TenantStatus,
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::tenant_id;
use crate::platform::Platform;

/// A tenant to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenant {
    /// Its id, for ever.
    id: TenantId,
    /// Name for people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Its database schema, for ever; the id made a name where it is left out.
    schema: Option<SchemaName>,
    /// What it has been given.
    #[serde(default)]
    features: BTreeSet<Name>,
    /// How much it may use.
    #[serde(default)]
    limits: TenantLimits,
    /// Its tier, which sets its isolation: `standard` where it is left out.
    tier: Option<Name>,
    /// Where its data lives, for ever: `local` where it is left out.
    region: Option<Name>,
    /// The organisation whose project it is, for ever; none where it is left out.
    parent: Option<TenantId>,
}

impl NewTenant {
    fn declared(self) -> (TenantId, DeclaredTenant) {
        let Self { id, name, schema, features, limits, tier, region, parent } = self;
        (id, DeclaredTenant { name, schema, features, limits, tier, region, parent })
    }
}

/// Which tenants are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenants {
    /// How many entries at most.
    #[serde(default = "default_limit", deserialize_with = "page_limit")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before; the first page without it.
    cursor: Option<String>,
    /// Only those with this status of their own.
    status: Option<TenantStatus>,
    /// Only the projects of this organisation.
    parent: Option<TenantId>,
}

/// One page of the tenants, in the order of their ids.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants",
    params(Tenants),
    responses((status = 200, description = "The tenants.", body = Page<Tenant>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(asked): Query<Tenants>,
) -> Result<Json<Page<Tenant>>, ApiError> {
    let filter = TenantFilter { status: asked.status, parent: asked.parent };
    let cursor = asked.cursor.as_deref();
    Ok(Json(platform.tenancy().find_tenants(&scope, &filter, cursor, asked.limit).await?))
}

/// Creates a tenant; trying again with the same `Idempotency-Key` answers what the first call made.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants",
    request_body = NewTenant,
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((status = 201, description = "The tenant.", body = Tenant)),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    headers: HeaderMap,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>), ApiError> {
    let (id, declared) = new.declared();
    let mut new = declared.into_new(id);
    new.idempotency_key = idempotency_key(&headers)?;
    Ok((StatusCode::CREATED, Json(platform.tenancy().create_tenant(&scope, new).await?)))
}

/// One tenant.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The tenant.", body = Tenant)),
)]
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?))
}

/// Suspends a tenant: its calls are refused and its streams end, on every replica within a second.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/suspend",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The tenant, suspended.", body = Tenant)),
)]
pub(super) async fn suspend(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.tenancy().suspend_tenant(&scope, &tenant_id(&tenant)?).await?))
}

/// Lets a suspended tenant be used again.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/resume",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The tenant, active.", body = Tenant)),
)]
pub(super) async fn resume(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.resume_tenant(&scope, &tenant_id(&tenant)?).await?))
}

/// How long a deleted tenant can be restored.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Grace {
    /// Days until its data is erased; what the configuration says where it is left out. Zero erases it at once.
    #[param(maximum = 3650)]
    grace_days: Option<u32>,
}

/// Deletes a tenant, and its projects with it: refused from now on, on every replica within a second; once the grace has
/// passed, all that it has is erased.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/tenants/{tenant}",
    params(("tenant" = TenantId, Path), Grace),
    responses((status = 200, description = "The tenant, deleted.", body = Tenant)),
)]
pub(super) async fn delete(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(grace): Query<Grace>,
) -> Result<Json<Tenant>, ApiError> {
    let days = grace.grace_days.unwrap_or(platform.config().tenants.grace_days);
    let grace = Duration::from_secs(u64::from(days) * 24 * 3600);
    Ok(Json(platform.tenancy().delete_tenant(&scope, &tenant_id(&tenant)?, grace).await?))
}

/// Makes a deleted tenant what it was before, as long as nothing of it is erased.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/restore",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The tenant, as it was.", body = Tenant)),
)]
pub(super) async fn restore(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.restore_tenant(&scope, &tenant_id(&tenant)?).await?))
}

/// What was erased of a tenant, and when.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/receipt",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The receipt of its erasure.", body = ErasureReceipt)),
)]
pub(super) async fn receipt(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<ErasureReceipt>, ApiError> {
    Ok(Json(platform.tenancy().erasure_receipt(&scope, &tenant_id(&tenant)?).await?))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let refused = |what| Error::invalid_input("tenant.create", format!("`Idempotency-Key` {what}"));
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("is given twice"));
    }
    value.to_str().map(|text| Some(text.to_owned())).map_err(|_| refused("is not text"))
}
