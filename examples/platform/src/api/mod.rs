//! The platform's own REST API under `/api/v1`: what a tenant may see and change of itself, and, under
//! `/api/v1/operator`, what an operator may of all.

mod audit;
mod keys;
mod listing;
pub(crate) mod operator;
mod servers;
mod tenants;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get},
};
use mcp_core::{Error, http_api::ApiError};

use crate::platform::Platform;

/// The routes; what is above them has made the scope.
pub(crate) fn routes() -> Router<Arc<Platform>> {
    Router::new()
        .route("/api/v1/tenants/{tenant}", get(tenants::show))
        .route("/api/v1/keys", get(keys::list).post(keys::create))
        .route("/api/v1/keys/{key}", delete(keys::revoke))
        .route("/api/v1/servers", get(servers::list))
        .route("/api/v1/audit", get(audit::list))
        .fallback(async || not_found())
}

fn not_found() -> ApiError {
    Error::not_found("api.route", "there is nothing at this path").into()
}
