//! The REST API: `/api/v1/contexts`, `/api/v1/memories` and `/api/v1/events`.
//!
//! [`routes`] expects the caller's [`Scope`] as an extension, put there by the layers that
//! authenticated it, and [`RescueLayer`](mcp_core::layer::RescueLayer) above it. [`openapi`] says what there is.

mod contexts;
mod events;
mod headers;
mod memories;
mod messages;
mod streams;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    routing::{delete, get, post},
};
use mcp_core::{
    ErrorKind, Result, Scope,
    audit::DenialLog,
    event::{EventFeed, FeedHints},
};
use tokio_util::sync::CancellationToken;

use self::streams::Streams;
use crate::{context::ContextStore, memory::Memories};

/// How many contexts a tenant may have.
pub trait ContextQuota: Send + Sync + fmt::Debug {
    /// The limit for the scope's tenant; `None` for none.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    fn contexts(&self, scope: &Scope) -> Result<Option<u32>>;
}

/// What the routes work on.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Contexts.
    pub contexts: Arc<dyn ContextStore>,
    /// How many of them.
    pub quota: Arc<dyn ContextQuota>,
    /// Semantic memory.
    pub memories: Arc<Memories>,
    /// Published events.
    pub feed: Arc<dyn EventFeed>,
    /// Says when there are new ones.
    pub hints: FeedHints,
    /// Where refusals are recorded.
    pub denials: Arc<dyn DenialLog>,
    /// Open event streams of one tenant. 64 is a sensible number.
    pub streams_per_tenant: usize,
    /// Ends open event streams when it is cancelled.
    pub stop: CancellationToken,
}

#[derive(Debug)]
struct Api {
    deps: Deps,
    streams: Streams,
}

/// The routes, with their state inside.
pub fn routes(deps: Deps) -> Router {
    let streams = Streams::new(deps.streams_per_tenant);
    Router::new()
        .route("/api/v1/contexts", get(contexts::list).post(contexts::create))
        .route("/api/v1/contexts/{id}", get(contexts::read).patch(contexts::patch).delete(contexts::delete))
        .route("/api/v1/contexts/{id}/messages", get(messages::list).post(messages::append))
        .route("/api/v1/memories", post(memories::remember))
        .route("/api/v1/memories/{id}", delete(memories::forget))
        .route("/api/v1/memories/recall", post(memories::recall))
        .route("/api/v1/events", get(events::list))
        .with_state(Arc::new(Api { deps, streams }))
}

/// The routes as an OpenAPI 3.1 document, to be merged with those of others.
#[must_use]
#[expect(clippy::expect_used, reason = "the document is part of the program, and a test reads it")]
pub fn openapi() -> utoipa::openapi::OpenApi {
    serde_json::from_str(include_str!("openapi.json")).expect("the document is an OpenAPI document")
}

/// What an `Idempotency-Key` header says, if there is one.
fn idempotency_key(headers: &http::HeaderMap) -> Result<Option<String>> {
    headers::text(headers, "idempotency-key").map(|key| key.map(str::to_owned))
}

/// Counts a change by how it ended, without the tenant: `/metrics` tells of all of them together.
fn counted<T>(operation: &'static str, done: Result<T>) -> Result<T> {
    let outcome = match &done {
        Ok(_) => "done",
        Err(error) if error.kind() == ErrorKind::Conflict => "conflict",
        Err(_) => "failed",
    };
    metrics::counter!("mcp_context_changes_total", "operation" => operation, "outcome" => outcome)
        .increment(1);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_path() {
        let document = openapi();
        let paths: Vec<_> = document.paths.paths.keys().map(String::as_str).collect();
        let served = [
            "/api/v1/contexts",
            "/api/v1/contexts/{id}",
            "/api/v1/contexts/{id}/messages",
            "/api/v1/events",
            "/api/v1/memories",
            "/api/v1/memories/recall",
            "/api/v1/memories/{id}",
        ];
        let mut paths = paths;
        paths.sort_unstable();
        assert_eq!(paths, served);
    }
}
