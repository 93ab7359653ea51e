//! What operators see: metrics, whose labels are names out of the configuration, and a log line an answer.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    Error, Scope,
    scope::{RequestId, TenantId},
};
use tokio::time::Instant;

use super::target::Target;
use crate::chat::Usage;

/// One answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    tenant: TenantId,
    request_id: RequestId,
    model: String,
    target: Arc<Target>,
    attempts: u32,
    began: Instant,
    /// Until the whole answer, or the first content of a stream.
    waited: Duration,
}

impl Answer {
    pub(super) fn new(
        scope: &Scope,
        model: &str,
        target: &Arc<Target>,
        attempts: u32,
        began: Instant,
    ) -> Self {
        let waited = began.elapsed();
        metrics::histogram!("mcp_chat_first_content_seconds", "model" => model.to_owned())
            .record(waited.as_secs_f64());
        Self {
            tenant: scope.tenant().clone(),
            request_id: scope.request_id().clone(),
            model: model.to_owned(),
            target: Arc::clone(target),
            attempts,
            began,
            waited,
        }
    }

    /// The answer has ended: well, with an error's kind, or because the caller went away.
    pub(super) fn done(self, outcome: &'static str, usage: Option<Usage>) {
        requests(&self.model, outcome);
        let provider = self.target.provider.name();
        let usage = usage.unwrap_or_default();
        for (kind, tokens) in
            [("prompt", usage.prompt), ("completion", usage.completion), ("cached", usage.cached)]
        {
            if tokens > 0 {
                metrics::counter!(
                    "mcp_chat_tokens_total",
                    "provider" => provider.to_owned(), "model" => self.target.model.clone(), "kind" => kind,
                )
                .increment(tokens);
            }
        }
        tracing::info!(
            tenant = %self.tenant, request_id = %self.request_id, model = self.model,
            deployment = self.target.label(), attempts = self.attempts, outcome,
            prompt_tokens = usage.prompt, completion_tokens = usage.completion, cached_tokens = usage.cached,
            first_content_ms = millis(self.waited), total_ms = millis(self.began.elapsed()),
            "chat answered",
        );
    }
}

/// A request got an error for an answer.
pub(super) fn refused(model: &str, error: &Error) {
    requests(model, error.kind().as_str());
}

fn requests(model: &str, outcome: &'static str) {
    metrics::counter!("mcp_chat_requests_total", "model" => model.to_owned(), "outcome" => outcome)
        .increment(1);
}

/// A deployment was asked, and answered or failed with `error`.
pub(super) fn attempt(target: &Target, error: Option<&Error>, took: Duration) {
    let outcome = error.map_or("ok", |error| error.kind().as_str());
    let (provider, model) = (target.provider.name().to_owned(), target.model.clone());
    metrics::counter!(
        "mcp_chat_attempts_total", "provider" => provider.clone(), "model" => model.clone(), "outcome" => outcome,
    )
    .increment(1);
    metrics::histogram!("mcp_chat_attempt_seconds", "provider" => provider, "model" => model)
        .record(took.as_secs_f64());
}

/// A request was answered by another deployment than the first, or not at the first attempt.
pub(super) fn fallback(model: &str) {
    metrics::counter!("mcp_chat_fallbacks_total", "model" => model.to_owned()).increment(1);
}

/// A breaker is in this state now: 0 closed, 1 half open, 2 open.
pub(super) fn breaker(target: &Target, state: &'static str) {
    let value = match state {
        "closed" => 0.0,
        "half_open" => 1.0,
        _ => 2.0,
    };
    let (provider, model) = (target.provider.name().to_owned(), target.model.clone());
    metrics::gauge!("mcp_chat_breaker_state", "provider" => provider, "model" => model).set(value);
    if state == "open" {
        tracing::warn!(deployment = target.label(), "a deployment has failed too often and is left alone");
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
