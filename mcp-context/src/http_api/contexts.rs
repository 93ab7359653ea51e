//! `/api/v1/contexts`.

use std::sync::Arc;

use axum::{Extension, extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode, header};
use mcp_core::{
    Error, Scope,
    error::Detail,
    http_api::{ApiError, Body, Json, Path, Query, require},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, counted,
    headers::{etag, expected_version},
    idempotency_key,
};
use crate::{
    Page,
    context::{Context, ContextHead, ContextId, ContextQuery, HISTORY, NewContext},
};

/// A context to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewContext)]
pub(super) struct Creation {
    /// Whose it is; the caller's where it is missing.
    #[schema(min_length = 1, max_length = 128)]
    user_id: Option<String>,
    /// The session it belongs to.
    #[schema(min_length = 1, max_length = 128)]
    session_id: Option<String>,
    /// Its data.
    #[serde(default)]
    data: Map<String, Value>,
}

/// Creates a context; needs `contexts:write`.
#[utoipa::path(
    post,
    path = "/api/v1/contexts",
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
        description = "Makes trying again safe for a day.")),
    request_body = Creation,
    responses(
        (status = 201, description = "The context.", body = Context, headers(
            ("etag" = String, description = "Its version."), ("location" = String, description = "Where it is."),
        )),
        (status = 404, description = "What this `Idempotency-Key` created is deleted."),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    headers: HeaderMap,
    Body(mut new): Body<Creation>,
) -> Result<impl IntoResponse, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:write", "contexts")?;
    // A context in its documented form has an empty history.
    if new.data.get(HISTORY).and_then(Value::as_array).is_some_and(Vec::is_empty) {
        new.data.remove(HISTORY);
    }
    let new = NewContext {
        user_id: new.user_id,
        session_id: new.session_id,
        data: new.data,
        at_most: api.deps.quota.contexts(&scope)?,
        idempotency_key: idempotency_key(&headers)?,
    };
    let context = counted("create", api.deps.contexts.create(&scope, new).await)?;
    let location = [(header::LOCATION, format!("/api/v1/contexts/{}", context.head.id))];
    Ok((StatusCode::CREATED, location, etag(context.head.version), Json(context)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Those of this user.
    user_id: Option<String>,
    /// Those of this session.
    session_id: Option<String>,
    /// `next_cursor` of the page before; the first page without it.
    cursor: Option<String>,
    /// How many at most.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
}

pub(super) const fn fifty() -> u32 {
    50
}

/// One page of the tenant's contexts without their data, latest first; needs `contexts:read`.
#[utoipa::path(
    get,
    path = "/api/v1/contexts",
    params(Listing),
    responses((status = 200, description = "The contexts.", body = Page<ContextHead>)),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<ContextHead>>, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:read", "contexts")?;
    let Listing { user_id, session_id, cursor, limit } = listing;
    let query = ContextQuery { user_id, session_id, cursor, limit: page_limit(limit)? };
    Ok(Json(api.deps.contexts.list(&scope, &query).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Reading {
    /// How many of the newest messages; at most 1000 are given.
    #[serde(default = "hundred")]
    #[param(minimum = 0, default = 100)]
    messages: u32,
}

const fn hundred() -> u32 {
    100
}

/// A context with its newest messages; needs `contexts:read`.
#[utoipa::path(
    get,
    path = "/api/v1/contexts/{id}",
    params(("id" = ContextId, Path), Reading),
    responses((status = 200, description = "The context.", body = Context,
        headers(("etag" = String, description = "Its version.")))),
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    Query(reading): Query<Reading>,
) -> Result<impl IntoResponse, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:read", &format!("context/{id}"))?;
    let context = api.deps.contexts.read(&scope, &ContextId::parse(&id)?, reading.messages).await?;
    Ok((etag(context.head.version), Json(context)))
}

/// A patch of a context's data (RFC 7396).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContextPatch)]
pub(super) struct Patch {
    /// What is merged into the data; null removes.
    data: Map<String, Value>,
    /// The version that is patched, where `If-Match` does not say it.
    expected_version: Option<i64>,
}

/// Merges a patch into the context's data; needs `contexts:write`, and the version in `If-Match` or the body.
#[utoipa::path(
    patch,
    path = "/api/v1/contexts/{id}",
    params(("id" = ContextId, Path),
        ("if-match" = Option<String>, Header, description = "The version that is patched, as `ETag` gives it.")),
    request_body = Patch,
    responses((status = 200, description = "The context, without messages.", body = Context,
        headers(("etag" = String, description = "Its version.")))),
)]
pub(super) async fn patch(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(patch): Body<Patch>,
) -> Result<impl IntoResponse, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:write", &format!("context/{id}"))?;
    let id = ContextId::parse(&id)?;
    let expected = expected_version(&headers, patch.expected_version)?.ok_or_else(|| {
        let message = "say which version is patched: `If-Match: \"3\"`, or `expected_version` in the body";
        Error::invalid_input("context.patch", message)
            .with_detail(Detail::Field { path: "if-match".to_owned(), nearest: None })
    })?;
    let context = counted("patch", api.deps.contexts.patch(&scope, &id, patch.data, expected).await)?;
    Ok((etag(context.head.version), Json(context)))
}

/// Deletes a context, in the version of `If-Match` where there is one; needs `contexts:write`.
#[utoipa::path(
    delete,
    path = "/api/v1/contexts/{id}",
    params(("id" = ContextId, Path),
        ("if-match" = Option<String>, Header, description = "The version that is deleted, as `ETag` gives it.")),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:write", &format!("context/{id}"))?;
    let expected = expected_version(&headers, None)?;
    counted("delete", api.deps.contexts.delete(&scope, &ContextId::parse(&id)?, expected).await)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A page's `limit`, refused rather than bent where a person wrote it.
pub(super) fn page_limit(limit: u32) -> Result<u32, Error> {
    let most = crate::MAX_PAGE;
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::invalid_input("api.query", format!("`limit` must be 1 to {most}"))
        .with_detail(Detail::Field { path: "limit".to_owned(), nearest: None }))
}
