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

use super::{
    Api, counted,
    headers::{etag, expected_version},
    idempotency_key,
};
use crate::{
    Page,
    context::{ContextHead, ContextId, ContextQuery, HISTORY, NewContext},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Creation {
    user_id: Option<String>,
    session_id: Option<String>,
    #[serde(default)]
    data: Map<String, Value>,
}

/// Creates a context; needs `contexts:write`.
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    user_id: Option<String>,
    session_id: Option<String>,
    cursor: Option<String>,
    #[serde(default = "fifty")]
    limit: u32,
}

pub(super) const fn fifty() -> u32 {
    50
}

/// One page of the tenant's contexts without their data; needs `contexts:read`.
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    #[serde(default = "hundred")]
    messages: u32,
}

const fn hundred() -> u32 {
    100
}

/// A context with its newest messages; needs `contexts:read`.
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    data: Map<String, Value>,
    expected_version: Option<i64>,
}

/// Merges a patch into the context's data; needs `contexts:write`, and the version in `If-Match` or the body.
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
