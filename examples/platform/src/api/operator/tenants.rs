//! `/api/v1/operator/tenants`.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::{HeaderMap, StatusCode};
use mcp_core::{
    Error, PlatformScope, Result,
    http_api::{ApiError, Body, Json, Path, Query},
    scope::TenantId,
};
use mcp_tenancy::tenant::{DeclaredTenant, Page, Tenant};
use serde::Deserialize;

use super::tenant_id;
use crate::{api::listing::Listing, platform::Platform};

#[derive(Debug, Deserialize)]
pub(super) struct NewTenant {
    id: TenantId,
    #[serde(flatten)]
    declared: DeclaredTenant,
}

/// One page of all tenants, in the order of their ids.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Tenant>>, ApiError> {
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().tenants(&scope, cursor, listing.limit).await?))
}

/// Creates a tenant; trying again with the same `Idempotency-Key` answers what the first call made.
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    headers: HeaderMap,
    Body(NewTenant { id, declared }): Body<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>), ApiError> {
    let mut new = declared.into_new(id);
    new.idempotency_key = idempotency_key(&headers)?;
    Ok((StatusCode::CREATED, Json(platform.tenancy().create_tenant(&scope, new).await?)))
}

/// One tenant.
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?))
}

/// Suspends a tenant: its calls are refused and its streams end, on every replica within a second.
pub(super) async fn suspend(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.tenancy().suspend_tenant(&scope, &tenant_id(&tenant)?).await?))
}

/// Lets a suspended tenant be used again.
pub(super) async fn resume(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    Ok(Json(platform.tenancy().resume_tenant(&scope, &tenant_id(&tenant)?).await?))
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
