//! `/api/v1/operator/tenants`.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Extension, extract::State};
use http::{HeaderMap, StatusCode};
use mcp_core::{
    Error, PlatformScope, Result,
    http_api::{ApiError, Body, Json, Listing, Path, Query},
    scope::TenantId,
};
use mcp_tenancy::tenant::{DeclaredTenant, Name, Page, SchemaName, Tenant, TenantLimits};
use serde::Deserialize;
use utoipa::ToSchema;

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
    /// Where its data lives: `local` where it is left out.
    region: Option<Name>,
}

impl NewTenant {
    fn declared(self) -> (TenantId, DeclaredTenant) {
        let Self { id, name, schema, features, limits, tier, region } = self;
        (id, DeclaredTenant { name, schema, features, limits, tier, region })
    }
}

/// One page of all tenants, in the order of their ids.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants",
    params(Listing),
    responses((status = 200, description = "The tenants.", body = Page<Tenant>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Tenant>>, ApiError> {
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().tenants(&scope, cursor, listing.limit).await?))
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

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let refused = |what| Error::invalid_input("tenant.create", format!("`Idempotency-Key` {what}"));
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("is given twice"));
    }
    value.to_str().map(|text| Some(text.to_owned())).map_err(|_| refused("is not text"))
}
