//! `/api/v1/tenants/{tenant}`.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Scope,
    http_api::{ApiError, Json, Path, deny, require},
    scope::TenantId,
};
use mcp_tenancy::{layer::require_own_tenant, tenant::Tenant};

use crate::platform::Platform;

/// The caller's own tenant. Every other id, known or not, gets the same 403.
#[utoipa::path(
    get,
    path = "/api/v1/tenants/{tenant}",
    params(("tenant" = TenantId, Path)),
    responses((status = 200, description = "The tenant.", body = Tenant)),
)]
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, ApiError> {
    let resource = format!("tenant/{tenant}");
    require_own_tenant(&scope, &tenant)
        .map_err(|error| deny(&*platform.denials(), &scope, &resource, error))?;
    require(&*platform.denials(), &scope, "tenant:read", &resource)?;
    let above = super::keys::on_behalf_of(&scope, "reads its tenant")?;
    Ok(Json(platform.tenancy().tenant(&above, scope.tenant()).await?))
}
