//! The REST API: `/api/v1/contexts`, `/api/v1/memories` and `/api/v1/events`.
//!
//! [`routes()`] expects the caller's [`Scope`] as an extension, put there by the layers that
//! authenticated it, and [`RescueLayer`](mcp_core::layer::RescueLayer) above it. [`openapi`] says what there is.

mod contexts;
mod events;
mod headers;
mod memories;
mod messages;
mod streams;

use std::{fmt, sync::Arc};

use axum::Router;
use mcp_core::{
    ErrorKind, Result, Scope,
    audit::DenialLog,
    event::{EventFeed, FeedHints},
};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

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
    Router::from(described()).with_state(Arc::new(Api { deps, streams }))
}

/// The routes as an OpenAPI 3.1 document, to be merged with those of others.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// What is routed is what is described.
fn described() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(contexts::list, contexts::create))
        .routes(routes!(contexts::read, contexts::patch, contexts::delete))
        .routes(routes!(messages::list, messages::append))
        .routes(routes!(memories::remember))
        .routes(routes!(memories::recall))
        .routes(routes!(memories::forget))
        .routes(routes!(events::list))
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
    fn changes_are_counted_by_how_they_ended() {
        use metrics_exporter_prometheus::PrometheusBuilder;
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            assert_eq!(counted("append", Ok(7)).ok(), Some(7));
            let stale = mcp_core::Error::new(ErrorKind::Conflict, "context.append", "stale");
            assert!(counted::<()>("append", Err(stale)).is_err());
            assert!(counted::<()>("append", Err(mcp_core::Error::unavailable("x", "away"))).is_err());
        });
        let text = recorder.handle().render();
        for outcome in ["done", "conflict", "failed"] {
            let line = format!("mcp_context_changes_total{{operation=\"append\",outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }
}
