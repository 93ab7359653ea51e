//! `/api/v1/contexts/{id}/messages`.

use std::sync::Arc;

use axum::{Extension, extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode};
use mcp_core::{
    Scope,
    http_api::{ApiError, Body, Json, Path, Query, require},
};
use serde::Deserialize;

use super::{
    Api,
    contexts::{fifty, page_limit},
    counted,
    headers::{etag, expected_version},
    idempotency_key,
};
use crate::{
    Page,
    context::{Append, ContextId, Message, MessageQuery, NewMessage},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    cursor: Option<String>,
    #[serde(default = "fifty")]
    limit: u32,
    #[serde(default)]
    newest_first: bool,
}

/// One page of a context's messages; needs `contexts:read`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page<Message>>, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:read", &format!("context/{id}"))?;
    let Listing { cursor, limit, newest_first } = listing;
    let query = MessageQuery { cursor, limit: page_limit(limit)?, newest_first };
    Ok(Json(api.deps.contexts.messages(&scope, &ContextId::parse(&id)?, &query).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Appending {
    messages: Vec<NewMessage>,
    expected_version: Option<i64>,
}

/// Appends messages; needs `contexts:write`. A version in `If-Match` or the body makes it conditional.
pub(super) async fn append(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(appending): Body<Appending>,
) -> Result<impl IntoResponse, ApiError> {
    require(&*api.deps.denials, &scope, "contexts:write", &format!("context/{id}"))?;
    let append = Append {
        messages: appending.messages,
        expected_version: expected_version(&headers, appending.expected_version)?,
        idempotency_key: idempotency_key(&headers)?,
    };
    let id = ContextId::parse(&id)?;
    let appended = counted("append", api.deps.contexts.append(&scope, &id, append).await)?;
    Ok((StatusCode::CREATED, etag(appended.version), Json(appended)))
}
