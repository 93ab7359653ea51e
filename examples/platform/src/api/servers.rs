//! `/api/v1/servers`: the MCP servers of the caller's tenant.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Scope,
    http_api::{ApiError, Json, require},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::platform::Platform;

/// The servers of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantServers {
    items: Vec<TenantServer>,
}

/// One server, as a tenant may see it.
#[derive(Debug, Serialize, ToSchema)]
struct TenantServer {
    name: String,
    state: &'static str,
    /// Whether one process serves all tenants; what it does is then not for one of them to see.
    shared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<usize>,
}

/// What the tenant may know of its servers: whether they run; not why they do not, which may name files and
/// hosts of the operator's.
#[utoipa::path(
    get,
    path = "/api/v1/servers",
    responses((status = 200, description = "The servers.", body = TenantServers)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<TenantServers>, ApiError> {
    require(&*platform.denials(), &scope, "servers:read", "servers")?;
    let items = platform
        .fleet()
        .tenant_status(&scope)
        .into_iter()
        .map(|status| {
            let shared = status.tenant.is_none() && status.starts > 0;
            TenantServer {
                name: status.server.to_string(),
                state: status.state.as_str(),
                shared,
                starts: Some(status.starts).filter(|_| !shared),
                in_flight: Some(status.in_flight).filter(|_| !shared),
            }
        })
        .collect();
    Ok(Json(TenantServers { items }))
}
