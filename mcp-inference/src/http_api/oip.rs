//! The Open Inference Protocol's look at models: health and metadata.

use axum::{Extension, extract::State};
use mcp_core::{
    Scope,
    http_api::{ApiError, Json, Path},
};
use serde_json::{Value, json};

use super::InferenceApi;
use crate::model::{Dimension, ModelEntry, TensorSpec};

pub(super) async fn server(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Value>, ApiError> {
    api.require(&scope, "models")?;
    Ok(Json(json!({ "name": "mcp-platform", "version": env!("CARGO_PKG_VERSION"), "extensions": [] })))
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// Whether every model could be loaded.
pub(super) async fn ready(
    State(api): State<InferenceApi>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Value>, ApiError> {
    api.require(&scope, "models")?;
    let loaded = |(_, entry): &(String, ModelEntry)| matches!(entry, ModelEntry::Loaded { .. });
    Ok(Json(json!({ "ready": api.models.iter().all(|(_, versions)| versions.iter().all(loaded)) })))
}

pub(super) async fn model(
    state: State<InferenceApi>,
    scope: Extension<Scope>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    metadata(&state, &scope, &name, None)
}

pub(super) async fn version(
    state: State<InferenceApi>,
    scope: Extension<Scope>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    metadata(&state, &scope, &name, Some(&version))
}

pub(super) async fn model_ready(
    state: State<InferenceApi>,
    scope: Extension<Scope>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    readiness(&state, &scope, &name, None)
}

pub(super) async fn version_ready(
    state: State<InferenceApi>,
    scope: Extension<Scope>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    readiness(&state, &scope, &name, Some(&version))
}

fn readiness(
    api: &InferenceApi,
    scope: &Scope,
    name: &str,
    version: Option<&str>,
) -> Result<Json<Value>, ApiError> {
    api.require(scope, &format!("model/{name}"))?;
    let ready = matches!(api.models.entry(name, version)?, ModelEntry::Loaded { .. });
    Ok(Json(json!({ "name": name, "ready": ready })))
}

fn metadata(
    api: &InferenceApi,
    scope: &Scope,
    name: &str,
    version: Option<&str>,
) -> Result<Json<Value>, ApiError> {
    api.require(scope, &format!("model/{name}"))?;
    let model = api.models.model(name, version)?;
    let metadata = model.metadata();
    let all = api.models.iter().find(|(known, _)| *known == name).map(|(_, versions)| versions);
    let versions: Vec<_> = all.into_iter().flatten().map(|(version, _)| version).collect();
    Ok(Json(json!({
        "name": metadata.name,
        "versions": versions,
        "platform": metadata.platform,
        "inputs": metadata.inputs.iter().map(spec).collect::<Vec<_>>(),
        "outputs": metadata.outputs.iter().map(spec).collect::<Vec<_>>(),
    })))
}

/// A size that the caller chooses is -1.
fn spec(spec: &TensorSpec) -> Value {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dimension::Symbol(_) => -1,
    };
    let shape: Vec<i64> = spec.shape.iter().map(size).collect();
    json!({ "name": spec.name, "datatype": spec.datatype.as_str(), "shape": shape })
}
