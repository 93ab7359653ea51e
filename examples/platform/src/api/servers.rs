//! `/api/v1/servers`: the MCP servers of the caller's tenant.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::Scope;
use serde::Serialize;

use super::{ApiError, Json};
use crate::platform::Platform;

#[derive(Debug, Serialize)]
pub(super) struct Listing {
    items: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    name: String,
    state: &'static str,
    /// Whether one process serves all tenants.
    shared: bool,
    starts: u64,
    in_flight: usize,
}

/// What the tenant may know of its servers: whether they run; not why they do not, which may name files and
/// hosts of the operator's.
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Listing>, ApiError> {
    scope.require("servers:read")?;
    let items = platform
        .fleet()
        .tenant_status(&scope)
        .into_iter()
        .map(|status| Server {
            name: status.server.to_string(),
            state: status.state.as_str(),
            shared: status.tenant.is_none() && status.starts > 0,
            starts: status.starts,
            in_flight: status.in_flight,
        })
        .collect();
    Ok(Json(Listing { items }))
}
