//! Documents for those who have no credential yet.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderName, header};
use jsonwebtoken::jwk::JwkSet;
use mcp_core::{
    Error,
    http_api::{ApiError, Json, Path},
    scope::TenantId,
};

use super::Api;
use crate::auth::ProtectedResource;

type Answer<T> = ([(HeaderName, &'static str); 2], Json<T>);

/// The public halves of a tenant's signing keys (RFC 7517). A tenant that does not exist answers as one that
/// has no keys.
///
/// A set may be cached for five minutes, half the default lead of a rotation; an empty one for five seconds,
/// as a tenant's first key signs at once.
pub(super) async fn jwks(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
) -> Result<Answer<JwkSet>, ApiError> {
    let set = match TenantId::parse(&tenant) {
        Ok(tenant) => api.tenancy.jwks(&tenant).await?,
        Err(_) => JwkSet { keys: Vec::new() },
    };
    let cached = if set.keys.is_empty() { "public, max-age=5" } else { "public, max-age=300" };
    Ok(([(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, cached)], Json(set)))
}

/// The metadata of the resource that tokens are for (RFC 9728).
pub(super) async fn resource(State(api): State<Arc<Api>>) -> Answer<ProtectedResource> {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=300")];
    (headers, Json(api.resource.clone()))
}

/// The same behind the path of a resource (RFC 9728 §3.1).
pub(super) async fn resource_at(
    State(api): State<Arc<Api>>,
    Path(path): Path<String>,
) -> Result<Answer<ProtectedResource>, ApiError> {
    if !api.resource.is_at(&format!("/{path}")) {
        return Err(Error::not_found("auth.resource", "there is no such protected resource").into());
    }
    Ok(resource(State(api)).await)
}
