//! `/v1/models`: what may be written as `model`.

use axum::{Extension, extract::State};
use mcp_core::{
    Error, Scope,
    http_api::{ApiError, Json, Path},
};
use serde::Serialize;

use super::InferenceApi;
use crate::model::ModelEntry;

#[derive(Debug, Serialize)]
pub(super) struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    /// Seconds since 1970; when a model was made is not known.
    created: i64,
    owned_by: &'static str,
}

/// Local models that embed texts.
pub(super) async fn list(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<List>, ApiError> {
    api.require(&scope, "models")?;
    Ok(Json(List { object: "list", data: models(&api) }))
}

/// One of them.
pub(super) async fn show(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    api.require(&scope, &format!("model/{id}"))?;
    let found = models(&api).into_iter().find(|model| model.id == id);
    Ok(Json(found.ok_or_else(|| Error::not_found("models.show", "there is no such model"))?))
}

fn models(api: &InferenceApi) -> Vec<Model> {
    let embeds = |entry: &ModelEntry| matches!(entry, ModelEntry::Loaded { embedder: Some(_), .. });
    let local = api.models.iter().filter(|(_, versions)| versions.iter().any(|(_, entry)| embeds(entry)));
    local
        .map(|(name, _)| Model { id: name.to_owned(), object: "model", created: 0, owned_by: "local" })
        .collect()
}
