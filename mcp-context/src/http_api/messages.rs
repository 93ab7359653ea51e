//! `/api/v1/contexts/{id}/messages`.

use std::sync::Arc;

use axum::{Extension, extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode};
use mcp_core::{
    Scope,
    http_api::{ApiError, Body, Json, Path, Query, require},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api,
    contexts::{fifty, page_limit},
    counted,
    headers::{etag, expected_version},
    idempotency_key,
};
use crate::{
    Page,
    context::{Append, Appended, ContextId, Message, MessageQuery, NewMessage},
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// `next_cursor` of the page before; the first page without it.
    cursor: Option<String>,
    /// How many at most.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// The newest first.
    #[serde(default)]
    newest_first: bool,
}

/// One page of a context's messages; needs `contexts:read`.
#[utoipa::path(
    get,
    path = "/api/v1/contexts/{id}/messages",
    params(("id" = ContextId, Path), Listing),
    responses((status = 200, description = "The messages.", body = Page<Message>)),
)]
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

/// Messages to be appended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessages)]
pub(super) struct Appending {
    /// The messages, in their order.
    #[schema(min_items = 1, max_items = 100)]
    messages: Vec<NewMessage>,
    /// Append only to this version.
    expected_version: Option<i64>,
}

/// Appends messages; needs `contexts:write`. A version in `If-Match` or the body makes it conditional.
#[utoipa::path(
    post,
    path = "/api/v1/contexts/{id}/messages",
    params(("id" = ContextId, Path),
        ("if-match" = Option<String>, Header, description = "The version that is expected, as `ETag` gives it."),
        ("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
            description = "Makes trying again safe for a day.")),
    request_body = Appending,
    responses((status = 201, description = "Their numbers.", body = Appended,
        headers(("etag" = String, description = "The context's version since.")))),
)]
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
