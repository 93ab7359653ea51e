//! `/v1/models`: what may be written as `model`.

use axum::{Extension, extract::State};
use mcp_core::{
    Error, Scope,
    http_api::{ApiError, Json, Path},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::InferenceApi;
use crate::model::ModelEntry;

/// The models there are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    /// Seconds since 1970; when a model was made is not known.
    created: i64,
    owned_by: &'static str,
}

/// Routes for chats, and local models that embed texts.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "models",
    responses(
        (status = 200, description = "The models there are", body = ModelList),
        (status = 403, description = "The permission `models:use` is missing"),
    )
)]
pub(super) async fn list(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<ModelList>, ApiError> {
    api.require(&scope, "models")?;
    Ok(Json(ModelList { object: "list", data: models(&api) }))
}

/// One of them.
#[utoipa::path(
    get,
    path = "/v1/models/{model}",
    tag = "models",
    params(("model" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 403, description = "The permission `models:use` is missing"),
        (status = 404, description = "There is no such model"),
    )
)]
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
    let local = local.map(|(name, _)| (name, "local"));
    let routes = api.router.models().map(|name| (name, "route"));
    let model =
        |(id, owned_by): (&str, _)| Model { id: id.to_owned(), object: "model", created: 0, owned_by };
    routes.chain(local).map(model).collect()
}
