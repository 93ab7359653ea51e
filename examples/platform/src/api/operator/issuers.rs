//! `/api/v1/operator/issuers`: foreign issuers, those that tenants share and those of any tenant.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::{HeaderMap, StatusCode};
use mcp_core::{
    Error, PlatformScope, Result,
    http_api::{ApiError, Body, Json, Listing, Path, Query},
    key::Secret,
    scope::TenantId,
};
use mcp_tenancy::{
    issuer::{Issuer, IssuerId, IssuerSpec, NewIssuer},
    tenant::Page,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::tenant_id;
use crate::{
    api::{
        headers::expected_version,
        issuers::{Tagged, tagged},
    },
    platform::Platform,
};

/// An issuer to be declared under an id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSharedIssuer {
    /// Its name here; it begins the ids of its principals.
    id: IssuerId,
    spec: IssuerSpec,
    /// The secret of the client as which the platform asks, where the issuer is asked by introspection.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret<String>>,
}

/// An issuer to be declared anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedIssuer {
    spec: IssuerSpec,
    /// The secret of the client as which the platform asks. It is never shown, so that it is given again each time.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret<String>>,
}

/// One page of all issuers, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/operator/issuers",
    params(Listing),
    responses((status = 200, description = "The issuers, in the order of their ids.", body = Page<Issuer>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Issuer>>, ApiError> {
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().issuers(&scope, None, cursor, listing.limit).await?))
}

/// One page of a tenant's own issuers.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/issuers",
    params(("tenant" = TenantId, Path), Listing),
    responses((status = 200, description = "The issuers, in the order of their ids.", body = Page<Issuer>)),
)]
pub(super) async fn list_of_tenant(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Issuer>>, ApiError> {
    let tenant = platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?;
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().issuers(&scope, Some(&tenant.id), cursor, listing.limit).await?))
}

/// Declares an issuer: shared by all tenants, or of one, as its `tenant` says.
#[utoipa::path(
    post,
    path = "/api/v1/operator/issuers",
    request_body = NewSharedIssuer,
    responses(
        (
            status = 201,
            description = "The issuer.",
            body = Issuer,
            headers(("etag" = String, description = "Its version.")),
        ),
        (status = 404, description = "There is no such tenant."),
    ),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Body(new): Body<NewSharedIssuer>,
) -> Result<(StatusCode, Tagged), ApiError> {
    let NewSharedIssuer { id, spec, secret } = new;
    let new = NewIssuer { id, spec, secret, expected_version: None };
    Ok((StatusCode::CREATED, tagged(platform.tenancy().put_issuer(&scope, new).await?)))
}

/// One issuer.
#[utoipa::path(
    get,
    path = "/api/v1/operator/issuers/{issuer}",
    params(("issuer" = IssuerId, Path)),
    responses((
        status = 200,
        description = "The issuer.",
        body = Issuer,
        headers(("etag" = String, description = "Its version.")),
    )),
)]
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(issuer): Path<String>,
) -> Result<Tagged, ApiError> {
    Ok(tagged(platform.tenancy().issuer(&scope, &issuer_id(&issuer)?).await?))
}

/// Declares an issuer anew, secret included; tokens that were verified are verified again.
#[utoipa::path(
    put,
    path = "/api/v1/operator/issuers/{issuer}",
    request_body = ChangedIssuer,
    params(
        ("issuer" = IssuerId, Path),
        ("if-match" = Option<String>, Header, description = "The version it must have.", pattern = r#"^"[0-9]{1,18}"$"#),
    ),
    responses((
        status = 200,
        description = "The issuer.",
        body = Issuer,
        headers(("etag" = String, description = "Its version.")),
    )),
)]
pub(super) async fn replace(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
    Body(changed): Body<ChangedIssuer>,
) -> Result<Tagged, ApiError> {
    let id = issuer_id(&issuer)?;
    let version = version(&platform, &scope, &id, &headers).await?;
    let ChangedIssuer { spec, secret } = changed;
    let new = NewIssuer { id, spec, secret, expected_version: Some(version) };
    Ok(tagged(platform.tenancy().put_issuer(&scope, new).await?))
}

/// Removes an issuer: its tokens are refused, on every replica within a second.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/issuers/{issuer}",
    params(
        ("issuer" = IssuerId, Path),
        ("if-match" = Option<String>, Header, description = "The version it must have.", pattern = r#"^"[0-9]{1,18}"$"#),
    ),
    responses((status = 200, description = "The issuer, removed.", body = Issuer)),
)]
pub(super) async fn remove(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Issuer>, ApiError> {
    let id = issuer_id(&issuer)?;
    let version = version(&platform, &scope, &id, &headers).await?;
    Ok(Json(platform.tenancy().remove_issuer(&scope, &id, version).await?))
}

/// The version that the caller expects, else the one there is.
async fn version(
    platform: &Platform,
    scope: &PlatformScope,
    id: &IssuerId,
    headers: &HeaderMap,
) -> Result<i64> {
    match expected_version(headers)? {
        Some(version) => Ok(version),
        None => Ok(platform.tenancy().issuer(scope, id).await?.version),
    }
}

fn issuer_id(text: &str) -> Result<IssuerId> {
    IssuerId::parse(text).map_err(|_| Error::not_found("issuer.get", format!("there is no issuer `{text}`")))
}
