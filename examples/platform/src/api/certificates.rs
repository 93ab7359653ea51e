//! `/api/v1/certificates`: the client certificates that speak for principals of the caller's tenant. Only operators
//! register them: whoever does says whose certificates those are.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Result, Scope,
    http_api::{ApiError, Json, Listing, Query, require},
};
use mcp_tenancy::{certificate::CertificateIdentity, tenant::Page};

use super::keys::on_behalf_of;
use crate::platform::Platform;

/// One page of the tenant's registered client certificates.
#[utoipa::path(
    get,
    path = "/api/v1/certificates",
    params(Listing),
    responses((
        status = 200,
        description = "The registrations, in the order of their ids.",
        body = Page<CertificateIdentity>,
    )),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<CertificateIdentity>>, ApiError> {
    require(&*platform.denials(), &scope, "certificates:read", "certificates")?;
    let above = on_behalf_of(&scope, "lists its client certificates")?;
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().certificates(&above, scope.tenant(), cursor, listing.limit).await?))
}
