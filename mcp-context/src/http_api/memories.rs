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
pub(super) async fn recall(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Body(recall): Body<Recall>,
) -> Result<Json<Recalled>, ApiError> {
    require(&*api.deps.denials, &scope, "memories:read", "memories")?;
    Ok(Json(api.deps.memories.recall(&scope, &recall).await?))
}

/// Forgets a memory; needs `memories:write`.
pub(super) async fn forget(
    State(api): State<Arc<Api>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    require(&*api.deps.denials, &scope, "memories:write", &format!("memory/{id}"))?;
    api.deps.memories.forget(&scope, &MemoryId::parse(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
