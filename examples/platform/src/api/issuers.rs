//! `/api/v1/issuers`: the identity providers whose tokens speak for principals of the caller's tenant.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Extension, extract::State};
use http::{HeaderMap, HeaderName, StatusCode};
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    error::Detail,
    http_api::{ApiError, Body, Json, Listing, Path, Query, deny, require},
    key::Secret,
};
use mcp_tenancy::{
    issuer::{ClaimMapping, Issuer, IssuerId, IssuerSpec, NewIssuer, TokenCheck},
    tenant::Page,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    headers::{etag, expected_version, idempotency_key},
    keys::on_behalf_of,
};
use crate::platform::Platform;

pub(super) type Tagged = ([(HeaderName, String); 1], Json<Issuer>);

/// An issuer as a tenant declares it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantIssuer {
    spec: TenantIssuerSpec,
    /// The secret of the client as which the platform asks, where the issuer is asked by introspection. It is never
    /// shown, so that it is given again with each change.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret<String>>,
}

/// What a tenant may say of an issuer: it speaks for that tenant alone, and is at a public address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantIssuerSpec {
    /// Its URL, the `iss` of its tokens, letter by letter; `https`.
    #[schema(max_length = 512)]
    url: String,
    /// The resources (RFC 8707) its tokens may be for, 16 at most: the platform's MCP endpoint where it is left out.
    #[serde(default)]
    audiences: BTreeSet<String>,
    /// How its tokens are checked.
    check: TokenCheck,
    /// What the claims of its tokens mean. Its `ceiling` must not go beyond what the caller holds.
    #[serde(default)]
    claims: ClaimMapping,
}

/// One page of the tenant's own issuers, without their secrets.
#[utoipa::path(
    get,
    path = "/api/v1/issuers",
    params(Listing),
    responses((status = 200, description = "The issuers, in the order of their ids.", body = Page<Issuer>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Issuer>>, ApiError> {
    require(&*platform.denials(), &scope, "issuers:read", "issuers")?;
    let above = on_behalf_of(&scope, "lists its issuers")?;
    let (tenant, cursor) = (Some(scope.tenant()), listing.cursor.as_deref());
    Ok(Json(platform.tenancy().issuers(&above, tenant, cursor, listing.limit).await?))
}

/// Declares an issuer, whose tokens then speak for principals `{issuer}:{subject}` of the tenant. Its id is made up here;
/// trying again with the same `Idempotency-Key` answers what the first call made.
///
/// Whoever does this says who its principals are and what they may do, and so needs `principals:assume`, and
/// whatever the issuer may give.
#[utoipa::path(
    post,
    path = "/api/v1/issuers",
    request_body = TenantIssuer,
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$")),
    responses((
        status = 201,
        description = "The issuer.",
        body = Issuer,
        headers(("etag" = String, description = "Its version.")),
    )),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    headers: HeaderMap,
    Body(new): Body<TenantIssuer>,
) -> Result<(StatusCode, Tagged), ApiError> {
    let above = on_behalf_of(&scope, "declares an issuer")?;
    let spec = new.spec.allowed(&platform, &scope, "issuers")?;
    // Made up: no tenant learns from a conflict what another one calls its issuers.
    let id = match idempotency_key(&headers)? {
        Some(key) => IssuerId::derived(scope.tenant(), &key),
        None => IssuerId::generate(),
    };
    let new = NewIssuer { secret: new.secret, ..NewIssuer::new(id.clone(), spec.clone()) };
    let made = match platform.tenancy().put_issuer(&above, new).await {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // The first call's, if this is the second.
            let made = own(&platform, &above, &scope, &id).await.ok().filter(|made| made.spec == spec);
            made.ok_or(error)?
        }
        made => made?,
    };
    Ok((StatusCode::CREATED, tagged(made)))
}

/// One issuer of the tenant.
#[utoipa::path(
    get,
    path = "/api/v1/issuers/{issuer}",
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
    Extension(scope): Extension<Scope>,
    Path(issuer): Path<String>,
) -> Result<Tagged, ApiError> {
    require(&*platform.denials(), &scope, "issuers:read", &format!("issuer/{issuer}"))?;
    let above = on_behalf_of(&scope, "reads an issuer")?;
    Ok(tagged(own(&platform, &above, &scope, &parse(&issuer)?).await?))
}

/// Declares an issuer of the tenant anew, secret included; tokens that were verified are verified again.
#[utoipa::path(
    put,
    path = "/api/v1/issuers/{issuer}",
    request_body = TenantIssuer,
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
    Extension(scope): Extension<Scope>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
    Body(new): Body<TenantIssuer>,
) -> Result<Tagged, ApiError> {
    let resource = format!("issuer/{issuer}");
    let spec = new.spec.allowed(&platform, &scope, &resource)?;
    let (above, id) = (on_behalf_of(&scope, "changes an issuer")?, parse(&issuer)?);
    let stored = own(&platform, &above, &scope, &id).await?;
    if stored.spec.private_addresses {
        let message = "this issuer may be at a private address; only an operator changes it";
        let error = Error::permission_denied("issuer.put", message);
        return Err(deny(&*platform.denials(), &scope, &resource, error));
    }
    let version = version_read(&stored, &headers)?;
    let new = NewIssuer { id, spec, secret: new.secret, expected_version: Some(version) };
    Ok(tagged(platform.tenancy().put_issuer(&above, new).await?))
}

/// Removes an issuer of the tenant: its tokens are refused, on every replica within a second.
#[utoipa::path(
    delete,
    path = "/api/v1/issuers/{issuer}",
    params(
        ("issuer" = IssuerId, Path),
        ("if-match" = Option<String>, Header, description = "The version it must have.", pattern = r#"^"[0-9]{1,18}"$"#),
    ),
    responses((status = 200, description = "The issuer, removed.", body = Issuer)),
)]
pub(super) async fn remove(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Issuer>, ApiError> {
    require(&*platform.denials(), &scope, "issuers:write", &format!("issuer/{issuer}"))?;
    let (above, id) = (on_behalf_of(&scope, "removes an issuer")?, parse(&issuer)?);
    let stored = own(&platform, &above, &scope, &id).await?;
    let version = version_read(&stored, &headers)?;
    Ok(Json(platform.tenancy().remove_issuer(&above, &id, version).await?))
}

/// The version that a change is made to: only of that one is it known whose it is, so a change in between is a
/// conflict, whatever version the caller names.
fn version_read(stored: &Issuer, headers: &HeaderMap) -> Result<i64> {
    let current = stored.version;
    if expected_version(headers)?.is_none_or(|wanted| wanted == current) {
        return Ok(current);
    }
    let message = format!("the issuer has changed; it now has version {current}");
    Err(Error::new(ErrorKind::Conflict, "issuer.put", message).with_detail(Detail::Conflict { current }))
}

impl TenantIssuerSpec {
    /// What is declared, if the caller may declare it.
    fn allowed(self, platform: &Platform, scope: &Scope, resource: &str) -> Result<IssuerSpec, ApiError> {
        let denials = platform.denials();
        require(&*denials, scope, "issuers:write", resource)?;
        require(&*denials, scope, "principals:assume", resource)?;
        let held = &scope.principal().permissions;
        if let Some(missing) = self.claims.ceiling.iter().find(|given| !held.allows(given.as_str())) {
            let message =
                format!("`claims.ceiling` cannot hold `{missing}`, which its creator does not have");
            return Err(deny(&*denials, scope, resource, Error::permission_denied("issuer.put", message)));
        }
        let Self { url, mut audiences, check, claims } = self;
        if audiences.is_empty() {
            audiences.insert(platform.identity().tokens().audience.clone());
        }
        let tenant = Some(scope.tenant().clone());
        Ok(IssuerSpec { url, tenant, audiences, check, claims, private_addresses: false })
    }
}

/// The tenant's issuer of that id; that of anybody else is none.
async fn own(platform: &Platform, above: &PlatformScope, scope: &Scope, id: &IssuerId) -> Result<Issuer> {
    let found = match platform.tenancy().issuer(above, id).await {
        Ok(found) => Some(found).filter(|issuer| issuer.spec.tenant.as_ref() == Some(scope.tenant())),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    found.ok_or_else(no_such_issuer)
}

fn parse(text: &str) -> Result<IssuerId> {
    IssuerId::parse(text).map_err(|_| no_such_issuer())
}

fn no_such_issuer() -> Error {
    Error::not_found("issuer.get", "there is no such issuer")
}

pub(super) fn tagged(issuer: Issuer) -> Tagged {
    (etag(issuer.version), Json(issuer))
}
