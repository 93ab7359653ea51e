//! Added servers over REST, for operators: add, list, look at, switch, remove, and how far that is.
//!
//! The handlers read the caller's [`PlatformScope`](mcp_core::PlatformScope) from the request's extensions, where
//! the layer that authenticated the operator put it; without one there is no way in.

mod server;
mod view;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use utoipa::OpenApi;

use crate::release::Releases;

/// The routes below `/api/v1/operator`, with their whole paths.
pub fn operator_routes(releases: Arc<Releases>) -> Router {
    Router::new()
        .route("/api/v1/operator/releases", get(server::list))
        .route("/api/v1/operator/servers", post(server::add))
        .route("/api/v1/operator/servers/{server}", get(server::show).delete(server::remove))
        .route("/api/v1/operator/servers/{server}/use", post(server::use_release))
        .route("/api/v1/operator/operations/{id}", get(server::operation))
        .with_state(releases)
}

/// The OpenAPI description of [`operator_routes`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

#[derive(OpenApi)]
#[openapi(paths(
    server::add,
    server::list,
    server::show,
    server::use_release,
    server::remove,
    server::operation
))]
struct Description;
