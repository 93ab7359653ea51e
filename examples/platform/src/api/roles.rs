//! `/roles` and who has them, of the tenant that a caller is of or an operator names.

use std::{collections::BTreeSet, sync::Arc};

use axum::{extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode, header};
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    clock::Timestamp,
    error::Detail,
    http_api::{ApiError, Body, Json, Listing, Path, Query, deny},
    scope::{Permissions, PrincipalId},
};
use mcp_tenancy::{
    role::{Granted, NewRole, Role, RoleName},
    tenant::Page,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::acting::Acting;
use crate::platform::Platform;

/// A role.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantRole {
    name: RoleName,
    description: String,
    /// What it allows by itself.
    permissions: Permissions,
    /// The roles whose permissions it has too.
    inherits: BTreeSet<RoleName>,
    /// One more with each change.
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Role> for TenantRole {
    fn from(role: Role) -> Self {
        let NewRole { name, description, permissions, inherits } = role.definition;
        let Role { version, created_at, updated_at, .. } = role;
        Self { name, description, permissions, inherits, version, created_at, updated_at }
    }
}

/// All roles of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantRoles {
    items: Vec<TenantRole>,
}

/// What a role is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleDefinition {
    /// For people: at most 200 characters.
    #[serde(default)]
    description: String,
    /// What it allows by itself.
    #[serde(default)]
    permissions: Permissions,
    /// The roles whose permissions it has too.
    #[serde(default)]
    inherits: BTreeSet<RoleName>,
}

/// What a principal's roles come to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GrantedRoles {
    /// The roles it was given, and all they inherit from.
    roles: BTreeSet<RoleName>,
    /// What these allow together, for credentials with `roles:use`.
    permissions: Permissions,
}

/// The role that a path names.
#[derive(Debug, Deserialize)]
pub(super) struct OfRole {
    role: String,
}

/// The principal that a path names.
#[derive(Debug, Deserialize)]
pub(super) struct OfPrincipal {
    pub(super) principal: String,
}

/// Both.
#[derive(Debug, Deserialize)]
pub(super) struct Holder {
    principal: String,
    role: String,
}

/// All roles of the tenant, by name; needs `roles:read`.
#[utoipa::path(
    get,
    path = "/roles",
    responses((status = 200, description = "The roles.", body = TenantRoles)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
) -> Result<Json<TenantRoles>, ApiError> {
    let roles = platform.authorization().roles().roles(&scope).await;
    let roles = refused(&platform, &scope, "roles", roles)?;
    Ok(Json(TenantRoles { items: roles.into_iter().map(Into::into).collect() }))
}

/// One role; needs `roles:read`.
#[utoipa::path(
    get,
    path = "/roles/{role}",
    params(("role" = RoleName, Path)),
    responses((status = 200, description = "The role.", body = TenantRole,
        headers(("etag" = String, description = "The role's version.")))),
)]
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfRole { role }): Path<OfRole>,
) -> Result<impl IntoResponse, ApiError> {
    let roles = platform.authorization().roles().roles(&scope).await;
    let roles = refused(&platform, &scope, &format!("role/{role}"), roles)?;
    let found = roles.into_iter().find(|known| known.definition.name.as_str() == role);
    let found = found.ok_or_else(|| unknown(&role))?;
    Ok((etag(found.version), Json(TenantRole::from(found))))
}

/// Makes a role or, with `If-Match`, replaces it. Nobody can make one that comes to more than they may do
/// themselves; needs `roles:write`.
#[utoipa::path(
    put,
    path = "/roles/{role}",
    request_body = RoleDefinition,
    params(("role" = RoleName, Path),
        ("if-match" = Option<String>, Header, description = "The version that is replaced, as `ETag` gives it.")),
    responses((status = 200, description = "The role.", body = TenantRole,
        headers(("etag" = String, description = "The role's version.")))),
)]
pub(super) async fn put(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfRole { role }): Path<OfRole>,
    headers: HeaderMap,
    Body(definition): Body<RoleDefinition>,
) -> Result<impl IntoResponse, ApiError> {
    let RoleDefinition { description, permissions, inherits } = definition;
    let new = NewRole { name: RoleName::parse(&role)?, description, permissions, inherits };
    let expected = if_match(&headers)?.unwrap_or(0);
    let made = platform.authorization().roles().put(&scope, new, expected).await;
    let made = refused(&platform, &scope, &format!("role/{role}"), made)?;
    Ok((etag(made.version), Json(TenantRole::from(made))))
}

/// Deletes a role, in the version of `If-Match`, and takes it from all who had it; needs `roles:write`.
#[utoipa::path(
    delete,
    path = "/roles/{role}",
    params(("role" = RoleName, Path),
        ("if-match" = String, Header, description = "The version that is deleted, as `ETag` gives it.")),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfRole { role }): Path<OfRole>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let expected = if_match(&headers)?.ok_or_else(|| {
        field("if-match", "send the version that is to be deleted as `If-Match`, as `ETag` gives it")
    })?;
    let name = RoleName::parse(&role).map_err(|_| unknown(&role))?;
    let deleted = platform.authorization().roles().delete(&scope, &name, expected).await;
    refused(&platform, &scope, &format!("role/{role}"), deleted)?;
    Ok(StatusCode::NO_CONTENT)
}

/// One page of the principals who were given a role; needs `roles:read`.
#[utoipa::path(
    get,
    path = "/roles/{role}/principals",
    params(("role" = RoleName, Path), Listing),
    responses((status = 200, description = "Their ids, in order.", body = Page<PrincipalId>)),
)]
pub(super) async fn holders(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfRole { role }): Path<OfRole>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<PrincipalId>>, ApiError> {
    let name = RoleName::parse(&role).map_err(|_| unknown(&role))?;
    let roles = platform.authorization().roles();
    let page = roles.holders(&scope, &name, listing.cursor.as_deref(), listing.limit).await;
    Ok(Json(refused(&platform, &scope, &format!("role/{role}"), page)?))
}

/// What a principal's roles come to; needs `roles:read`.
#[utoipa::path(
    get,
    path = "/principals/{principal}/roles",
    params(("principal" = PrincipalId, Path)),
    responses((status = 200, description = "Roles and permissions.", body = GrantedRoles)),
)]
pub(super) async fn granted(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfPrincipal { principal }): Path<OfPrincipal>,
) -> Result<Json<GrantedRoles>, ApiError> {
    let principal = PrincipalId::parse(&principal)?;
    let granted = platform.authorization().roles().granted(&scope, &principal).await;
    let Granted { roles, permissions } =
        refused(&platform, &scope, &format!("principal/{principal}"), granted)?;
    Ok(Json(GrantedRoles { roles, permissions }))
}

/// Gives a role to a principal. Nobody can give one that comes to more than they may do themselves; needs
/// `roles:write`.
#[utoipa::path(
    put,
    path = "/principals/{principal}/roles/{role}",
    params(("principal" = PrincipalId, Path), ("role" = RoleName, Path)),
    responses((status = 204, description = "The principal has it.")),
)]
pub(super) async fn assign(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(Holder { principal, role }): Path<Holder>,
) -> Result<StatusCode, ApiError> {
    let (principal, name) = pair(&principal, &role)?;
    let given = platform.authorization().roles().assign(&scope, &principal, &name).await;
    refused(&platform, &scope, &format!("principal/{principal}"), given)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a role from a principal; needs `roles:write`.
#[utoipa::path(
    delete,
    path = "/principals/{principal}/roles/{role}",
    params(("principal" = PrincipalId, Path), ("role" = RoleName, Path)),
    responses((status = 204, description = "The principal does not have it.")),
)]
pub(super) async fn unassign(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(Holder { principal, role }): Path<Holder>,
) -> Result<StatusCode, ApiError> {
    let (principal, name) = pair(&principal, &role)?;
    let taken = platform.authorization().roles().unassign(&scope, &principal, &name).await;
    refused(&platform, &scope, &format!("principal/{principal}"), taken)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What came of it; that the caller may not is recorded.
pub(super) fn refused<T>(
    platform: &Platform,
    scope: &Scope,
    resource: &str,
    result: Result<T>,
) -> Result<T, ApiError> {
    result.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => deny(&*platform.denials(), scope, resource, error),
        _ => error.into(),
    })
}

fn pair(principal: &str, role: &str) -> Result<(PrincipalId, RoleName)> {
    Ok((PrincipalId::parse(principal)?, RoleName::parse(role).map_err(|_| unknown(role))?))
}

fn unknown(role: &str) -> Error {
    Error::not_found("role.get", format!("there is no role `{role}`"))
}

/// The version that `If-Match` names.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let tag = tag.to_str().ok().and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    tag.map(Some)
        .ok_or_else(|| field("if-match", "`If-Match` must be one version, as `ETag` gives it: \"3\""))
}

fn etag(version: i64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

fn field(path: &str, message: &'static str) -> Error {
    Error::invalid_input("api.header", message)
        .with_detail(Detail::Field { path: path.to_owned(), nearest: None })
}
