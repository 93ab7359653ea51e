//! The platform's own REST API under `/api/v1`: what a tenant may see and change of itself.

mod answer;
mod audit;
mod keys;
mod servers;
mod tenants;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get},
};
use mcp_core::{
    Error, Scope,
    audit::{AuditRecord, Chain, Outcome},
};

pub(crate) use answer::{ApiError, Body, Json, Path, Query};

use crate::platform::Platform;

/// Characters of a caller's path that an audit record keeps.
const MAX_RESOURCE: usize = 200;

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

/// Requires a permission for `resource`; a refusal goes into the audit chain of the caller's tenant.
fn require(platform: &Platform, scope: &Scope, wanted: &'static str, resource: &str) -> Result<(), ApiError> {
    scope.require(wanted).map_err(|error| deny(platform, scope, resource, error))
}

/// Records that `resource` was refused to the caller, and answers with `error`.
fn deny(platform: &Platform, scope: &Scope, resource: &str, error: Error) -> ApiError {
    let record = AuditRecord {
        actor: scope.principal().id.to_string(),
        action: "api.denied".into(),
        resource: resource.chars().take(MAX_RESOURCE).collect(),
        outcome: Outcome::Denied,
        request_id: scope.request_id().to_string(),
        detail: serde_json::json!({ "reason": error.message() }),
    };
    platform.denials().denied(Chain::Tenant(scope.tenant().clone()), record);
    error.into()
}
