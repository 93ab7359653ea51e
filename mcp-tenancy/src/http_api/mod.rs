//! What everybody may ask: public keys, who issues tokens, tokens for credentials, and their end.
//!
//! [`routes()`] authenticates by itself where it must, so it belongs beside the stack of tenants, behind the same
//! outer layers: request id, trace, [`RescueLayer`](mcp_core::layer::RescueLayer), load shed, deadline,
//! concurrency.
//!
//! | path | what |
//! |---|---|
//! | `GET /t/{tenant}/.well-known/jwks.json` | the public keys of a tenant |
//! | `GET /.well-known/oauth-protected-resource` and below | RFC 9728 metadata |
//! | `POST /api/v1/auth/token` | a token response for an API key or a refresh token |
//! | `POST /api/v1/auth/logout` | ends the lineage of a refresh token |

mod discovery;
mod token;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, routing::get};
use mcp_core::{audit::DenialLog, limit::RateLimiter};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Tenancy,
    auth::{ProtectedResource, WELL_KNOWN},
    layer::Admission,
    limit::LimitPolicy,
};

pub use token::{Grant, Logout};

/// Longest body of a grant, in bytes.
const MAX_BODY: usize = 32 * 1024;

/// What the routes work on.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Tenants, keys and tokens.
    pub tenancy: Arc<Tenancy>,
    /// What tokens are for.
    pub resource: ProtectedResource,
    /// Holds tenants to their limits: a grant is a request of its tenant.
    pub limiter: Arc<dyn RateLimiter>,
    /// The limits beside the tenants' own, as [`RateLimitLayer`](crate::layer::RateLimitLayer) has them.
    pub limits: Arc<LimitPolicy>,
    /// Where refusals are recorded.
    pub denials: Arc<dyn DenialLog>,
}

#[derive(Debug)]
struct Api {
    tenancy: Arc<Tenancy>,
    resource: ProtectedResource,
    admission: Admission,
}

/// The routes, with their state inside.
pub fn routes(deps: Deps) -> Router {
    let Deps { tenancy, resource, limiter, limits, denials } = deps;
    let admission = Admission::new(tenancy.directory().clone(), limiter, limits, denials);
    Router::from(described())
        .route("/t/{tenant}/.well-known/jwks.json", get(discovery::jwks))
        .route(WELL_KNOWN, get(discovery::resource))
        .route(&format!("{WELL_KNOWN}/{{*path}}"), get(discovery::resource_at))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(Api { tenancy, resource, admission }))
}

/// Those of them that belong to the REST API, as an OpenAPI 3.1 document to be merged with those of others. What is
/// below `/t` and `/.well-known` is described by its RFCs.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// What is routed is what is described.
fn described() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(token::grant)).routes(routes!(token::logout))
}
