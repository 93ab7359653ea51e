//! `/policies`: the policy of the tenant that a caller is of or an operator names, in its versions.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Error, Result, Scope,
    access::{Access, Action, Attributes, Resource, ResourceKind},
    error::Detail,
    http_api::{ApiError, Body, Json, Listing, Path, Query, require},
};
use mcp_tenancy::{
    policy::{
        Decision, DryRun, Language, NewPolicy, PolicyHead, PolicyRequest, PolicyText, PolicyVersion,
        READ_POLICIES,
    },
    tenant::Page,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{acting::Acting, roles::refused};
use crate::platform::Platform;

/// What refusals are recorded for.
const POLICIES: &str = "policies";

/// A version to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewVersion {
    language: Language,
    /// The policies; in Rego one module.
    #[schema(min_length = 1, max_length = 65536)]
    text: String,
    /// What Rego finds under `data`; Cedar has none.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Attributes,
    /// Why it is made, for people: at most 200 characters.
    #[serde(default)]
    note: String,
}

/// The version that decides; 0 where none does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActiveVersion {
    version: i64,
}

/// What is to decide.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Activation {
    /// The version that is to decide; 0 for none.
    version: i64,
    /// The version that decides now; 0 for none.
    expected: i64,
}

/// A question to the policy that is active.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    action: Action,
    resource: Asked,
    /// In which circumstances.
    #[serde(default)]
    #[schema(value_type = Object)]
    context: Attributes,
}

/// What is asked about, in the caller's tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(rename = "type")]
    kind: ResourceKind,
    /// Which one; `*` for all.
    #[schema(max_length = 1024)]
    id: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: Attributes,
}

/// What would be decided if the caller did that, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explained {
    request: PolicyRequest,
    decision: Decision,
}

/// The version that a path names.
#[derive(Debug, Deserialize)]
pub(super) struct OfVersion {
    version: i64,
}

/// One page of the versions, the newest first; needs `policies:read`.
#[utoipa::path(
    get,
    path = "/policies",
    params(Listing),
    responses((status = 200, description = "The versions, without their texts.", body = Page<PolicyHead>)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<PolicyHead>>, ApiError> {
    let policies = platform.authorization().policies();
    let page = policies.versions(&scope, listing.cursor.as_deref(), listing.limit).await;
    Ok(Json(refused(&platform, &scope, POLICIES, page)?))
}

/// Keeps a new version, as a draft; needs `policies:write`.
#[utoipa::path(
    post,
    path = "/policies",
    request_body = NewVersion,
    responses((status = 201, description = "The draft.", body = PolicyVersion)),
)]
pub(super) async fn create(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Body(new): Body<NewVersion>,
) -> Result<(StatusCode, Json<PolicyVersion>), ApiError> {
    let NewVersion { language, text, data, note } = new;
    if language != Language::Cedar && !platform.takes_rego() {
        let message =
            format!("policies in `{language}` are not switched on here; ask the platform's operator");
        let error = Error::invalid_input("policy.create", message);
        return Err(error.with_detail(Detail::Field { path: "language".to_owned(), nearest: None }).into());
    }
    let new = NewPolicy { policy: PolicyText { language, text, data }, note };
    let draft = platform.authorization().policies().draft(&scope, new).await;
    Ok((StatusCode::CREATED, Json(refused(&platform, &scope, POLICIES, draft)?)))
}

/// One version with its text; needs `policies:read`.
#[utoipa::path(
    get,
    path = "/policies/{version}",
    params(("version" = i64, Path)),
    responses((status = 200, description = "The version.", body = PolicyVersion)),
)]
pub(super) async fn show(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfVersion { version }): Path<OfVersion>,
) -> Result<Json<PolicyVersion>, ApiError> {
    let found = platform.authorization().policies().version(&scope, version).await;
    Ok(Json(refused(&platform, &scope, POLICIES, found)?))
}

/// Compiles a version and notes that it is valid; errors name line and column. Needs `policies:write`.
#[utoipa::path(
    post,
    path = "/policies/{version}/validate",
    params(("version" = i64, Path)),
    responses((status = 200, description = "The version, validated.", body = PolicyVersion)),
)]
pub(super) async fn validate(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfVersion { version }): Path<OfVersion>,
) -> Result<Json<PolicyVersion>, ApiError> {
    let validated = platform.authorization().policies().validate(&scope, version).await;
    Ok(Json(refused(&platform, &scope, POLICIES, validated)?))
}

/// Tries a version on what was asked lately, beside the one that is active; changes nothing. Needs
/// `policies:read`.
#[utoipa::path(
    post,
    path = "/policies/{version}/dry-run",
    params(("version" = i64, Path)),
    responses((status = 200, description = "The decisions that it would change.", body = DryRun)),
)]
pub(super) async fn dry_run(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Path(OfVersion { version }): Path<OfVersion>,
) -> Result<Json<DryRun>, ApiError> {
    let run = platform.authorization().policies().dry_run(&scope, version).await;
    Ok(Json(refused(&platform, &scope, POLICIES, run)?))
}

/// The version that decides; needs `policies:read`.
#[utoipa::path(
    get,
    path = "/policies/active",
    responses((status = 200, description = "Its number.", body = ActiveVersion)),
)]
pub(super) async fn active(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
) -> Result<Json<ActiveVersion>, ApiError> {
    let active = platform.authorization().policies().active(&scope).await;
    Ok(Json(ActiveVersion { version: refused(&platform, &scope, POLICIES, active)? }))
}

/// Lets a validated version decide in place of another, an earlier one too, or none: here at once, on other
/// replicas within a second. Needs `policies:write`.
#[utoipa::path(
    put,
    path = "/policies/active",
    request_body = Activation,
    responses((status = 200, description = "The number of the version that decides.", body = ActiveVersion),
        (status = 404, description = "There is no such version.")),
)]
pub(super) async fn activate(
    State(platform): State<Arc<Platform>>,
    Acting { scope, .. }: Acting,
    Body(Activation { version, expected }): Body<Activation>,
) -> Result<Json<ActiveVersion>, ApiError> {
    let active = platform.authorization().policies().activate(&scope, version, expected).await;
    Ok(Json(ActiveVersion { version: refused(&platform, &scope, POLICIES, active)? }))
}

/// What is decided now if the caller does something, and why; nothing is done or recorded. Needs
/// `policies:read`.
#[utoipa::path(
    post,
    path = "/api/v1/policies/decide",
    request_body = Question,
    responses((status = 200, description = "The decision, and what was asked.", body = Explained)),
)]
pub(super) async fn decide(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Body(question): Body<Question>,
) -> Result<Json<Explained>, ApiError> {
    require(&*platform.denials(), &scope, READ_POLICIES, POLICIES)?;
    let Question { action, resource: Asked { kind, id, attributes }, context } = question;
    let resource = Resource { attributes, ..Resource::of(&scope, kind.as_str(), id)? };
    let access = Access { context, ..Access::new(action, resource) };
    let (request, decision) = platform.authorization().authorizer().explain(&scope, access).await?;
    Ok(Json(Explained { request, decision }))
}
