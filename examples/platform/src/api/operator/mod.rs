//! `/api/v1/operator`: what an operator sees and changes, above all tenants. Reached with an operator key.

mod audit;
mod keys;
mod servers;
mod tenants;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, post},
};
use mcp_core::{Error, Result, scope::TenantId};

use crate::platform::Platform;

/// What the paths of all this begin with.
pub(crate) const ROOT: &str = "/api/v1/operator";

/// The routes; what is above them has made the scope.
pub(crate) fn routes() -> Router<Arc<Platform>> {
    let routes = Router::new()
        .route("/tenants", get(tenants::list).post(tenants::create))
        .route("/tenants/{tenant}", get(tenants::show))
        .route("/tenants/{tenant}/suspend", post(tenants::suspend))
        .route("/tenants/{tenant}/resume", post(tenants::resume))
        .route("/tenants/{tenant}/keys", get(keys::list).post(keys::create))
        .route("/tenants/{tenant}/keys/{key}", delete(keys::revoke))
        .route("/tenants/{tenant}/audit", get(audit::of_tenant))
        .route("/servers", get(servers::list))
        .route("/servers/{server}/logs", get(servers::logs))
        .route("/servers/{server}/restart", post(servers::restart))
        .route("/audit", get(audit::of_platform))
        .route("/audit/verify", post(audit::verify));
    Router::new().nest(ROOT, routes).fallback(async || super::not_found())
}

/// The tenant a path names; what is no id is no tenant.
fn tenant_id(text: &str) -> Result<TenantId> {
    TenantId::parse(text).map_err(|_| Error::not_found("tenant.get", format!("there is no tenant `{text}`")))
}
