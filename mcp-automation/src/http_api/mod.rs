//! Added servers over REST, for operators: add, list, look at, switch, remove, and how far that is.
//!
//! The handlers read the caller's [`PlatformScope`](mcp_core::PlatformScope) from the request's extensions, where
//! the layer that authenticated the operator put it; without one there is no way in.

mod server;
mod view;

use std::sync::Arc;

use axum::Router;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::release::Releases;

/// The routes below `/api/v1/operator`, with their whole paths.
pub fn operator_routes(releases: Arc<Releases>) -> Router {
    Router::from(described()).with_state(releases)
}

/// The OpenAPI description of [`operator_routes`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// What is routed is what is described.
fn described() -> OpenApiRouter<Arc<Releases>> {
    OpenApiRouter::new()
        .routes(routes!(server::list))
        .routes(routes!(server::add))
        .routes(routes!(server::show, server::remove))
        .routes(routes!(server::use_release))
        .routes(routes!(server::operation))
}
