//! The wire: OpenAI's API under `/v1`, the Open Inference Protocol under `/v2`.
//!
//! Handlers expect the caller's [`Scope`] as an extension and the permission `models:use`.
//! Errors, those of the layers above included, have the wire's own body where the
//! [`RescueLayer`](mcp_core::layer::RescueLayer) is told so:
//!
//! ```
//! use mcp_core::layer::RescueLayer;
//! use mcp_inference::http_api::{oip_error, openai_error};
//!
//! let rescue = RescueLayer::default().body_under("/v1", openai_error).body_under("/v2", oip_error);
//! ```

mod chat;
mod counted;
mod embeddings;
mod error;
mod infer;
mod models;
mod oip;
mod spending;

use std::sync::Arc;

use axum::{
    Router as Routes,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use mcp_core::{Scope, audit::DenialLog, http_api::ApiError, limit::Quota};
use utoipa::OpenApi;

pub use error::{oip_error, openai_error};

use crate::{model::ModelRegistry, router::Router};

/// Largest request in bytes.
const MAX_BODY: usize = 16 << 20;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct InferenceApi {
    /// Local models: `/v1/embeddings`, `/v2`.
    pub models: Arc<ModelRegistry>,
    /// Chats: `/v1/chat/completions`.
    pub router: Router,
    /// Where refusals for want of a permission go.
    pub denials: Arc<dyn DenialLog>,
    /// Counts chats and embeddings as `models.calls`, their tokens as `chat.tokens` and `embeddings.tokens`.
    pub quota: Option<Arc<dyn Quota>>,
}

impl InferenceApi {
    fn require(&self, scope: &Scope, resource: &str) -> Result<(), ApiError> {
        mcp_core::http_api::require(&*self.denials, scope, "models:use", resource)
    }
}

/// The routes under `/v1` and `/v2`.
pub fn routes(api: InferenceApi) -> Routes {
    Routes::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::show))
        .route("/v2", get(oip::server))
        .route("/v2/health/live", get(oip::live))
        .route("/v2/health/ready", get(oip::ready))
        .route("/v2/models/{model}", get(oip::model))
        .route("/v2/models/{model}/ready", get(oip::model_ready))
        .route("/v2/models/{model}/infer", post(infer::latest))
        .route("/v2/models/{model}/versions/{version}", get(oip::version))
        .route("/v2/models/{model}/versions/{version}/ready", get(oip::version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::version))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
}

/// The OpenAPI description of what is OpenAI's of [`routes`].
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

#[derive(OpenApi)]
#[openapi(paths(chat::complete, models::list, models::show))]
struct Description;
