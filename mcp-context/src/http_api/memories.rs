//! `/api/v1/memories`.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use mcp_core::{
    Scope,
    http_api::{ApiError, Body, Json, Path, require},
};

use super::Api;
use crate::memory::{Memory, MemoryId, NewMemory, Recall, Recalled};

/// Remembers a text; needs `memories:write`. 201 where it is new, 200 where it was remembered before.
#[utoipa::path(
    post,
    path = "/api/v1/memories",
    request_body = NewMemory,
    responses(
        (status = 201, description = "The memory.", body = Memory),
        (status = 200, description = "The memory that was there.", body = Memory),
    ),
)]
pub(super) async fn remember(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Body(new): Body<NewMemory>,
) -> Result<(StatusCode, Json<Memory>), ApiError> {
    require(&*api.deps.denials, &scope, "memories:write", "memories")?;
    let stored = api.deps.memories.remember(&scope, new).await?;
    let status = if stored.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(stored.memory)))
}

/// Recalls what is nearest to a query; needs `memories:read`.
#[utoipa::path(
    post,
    path = "/api/v1/memories/recall",
    request_body = Recall,
    responses((status = 200, description = "Memories, best first.", body = Recalled)),
)]
pub(super) async fn recall(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Body(recall): Body<Recall>,
) -> Result<Json<Recalled>, ApiError> {
    require(&*api.deps.denials, &scope, "memories:read", "memories")?;
    Ok(Json(api.deps.memories.recall(&scope, &recall).await?))
}

/// Forgets a memory; needs `memories:write`.
#[utoipa::path(
    delete,
    path = "/api/v1/memories/{id}",
    params(("id" = MemoryId, Path)),
    responses((status = 204, description = "It is gone.")),
)]
pub(super) async fn forget(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    require(&*api.deps.denials, &scope, "memories:write", &format!("memory/{id}"))?;
    api.deps.memories.forget(&scope, &MemoryId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
