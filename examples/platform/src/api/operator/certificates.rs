//! `/api/v1/operator/tenants/{tenant}/certificates`: which client certificates speak for whom.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Error, PlatformScope,
    clock::Timestamp,
    http_api::{ApiError, Body, Json, Listing, Path, Query},
    scope::{Permission, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    certificate::{CertificateIdentity, CertificateSubject, NewCertificateIdentity},
    key::KeyId,
    tenant::Page,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::tenant_id;
use crate::platform::Platform;

/// A client certificate to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCertificate {
    /// Name for people.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Which certificates: every one with this SPIFFE id (`spiffe://domain/path`), DNS name (`dns:host.example`) or
    /// public key (`spki:` and the 64 hex digits of its SHA-256).
    #[schema(max_length = 512)]
    subject: String,
    /// As whom its holder acts.
    principal: PrincipalId,
    /// A program where it is left out.
    kind: Option<PrincipalKind>,
    /// What its holder may do.
    permissions: Vec<Permission>,
    /// When that ends, whatever the certificate says of itself; never where it is left out.
    expires_at: Option<Timestamp>,
}

/// One page of the tenant's registered client certificates.
#[utoipa::path(
    get,
    path = "/api/v1/operator/tenants/{tenant}/certificates",
    params(("tenant" = TenantId, Path), Listing),
    responses((
        status = 200,
        description = "The registrations, in the order of their ids.",
        body = Page<CertificateIdentity>,
    )),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<CertificateIdentity>>, ApiError> {
    let tenant = platform.tenancy().tenant(&scope, &tenant_id(&tenant)?).await?;
    let cursor = listing.cursor.as_deref();
    Ok(Json(platform.tenancy().certificates(&scope, &tenant.id, cursor, listing.limit).await?))
}

/// Registers the client certificates with a subject for a principal of the tenant. A subject is registered once for
/// all tenants, so that trying again is a conflict and changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/operator/tenants/{tenant}/certificates",
    request_body = NewCertificate,
    params(("tenant" = TenantId, Path)),
    responses((status = 201, description = "The registration.", body = CertificateIdentity)),
)]
pub(super) async fn register(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path(tenant): Path<String>,
    Body(new): Body<NewCertificate>,
) -> Result<(StatusCode, Json<CertificateIdentity>), ApiError> {
    let NewCertificate { name, subject, principal, kind, permissions, expires_at } = new;
    let principal = Principal {
        id: principal,
        kind: kind.unwrap_or(PrincipalKind::Service),
        permissions: permissions.into_iter().collect(),
    };
    let subject = CertificateSubject::parse(&subject)?;
    let new = NewCertificateIdentity { tenant: tenant_id(&tenant)?, name, subject, principal, expires_at };
    Ok((StatusCode::CREATED, Json(platform.tenancy().register_certificate(&scope, new).await?)))
}

/// Ends a registration: requests with those certificates are refused, on every replica within a second.
#[utoipa::path(
    delete,
    path = "/api/v1/operator/tenants/{tenant}/certificates/{certificate}",
    params(("tenant" = TenantId, Path), ("certificate" = KeyId, Path)),
    responses((status = 200, description = "The registration that was.", body = CertificateIdentity)),
)]
pub(super) async fn revoke(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<PlatformScope>,
    Path((tenant, certificate)): Path<(String, String)>,
) -> Result<Json<CertificateIdentity>, ApiError> {
    let id = KeyId::parse(&certificate).map_err(|_| {
        Error::not_found("certificate.remove", format!("the tenant has no certificate `{certificate}`"))
    })?;
    Ok(Json(platform.tenancy().remove_certificate(&scope, &tenant_id(&tenant)?, &id).await?))
}
