//! What models cost a tenant's quotas: reserved before anybody is asked, settled by what it came to.
//!
//! What is reserved is an estimate, since nobody knows beforehand how long an answer gets; what the model then reports
//! takes its place, more or less. An answer of which nobody says what it cost stays counted as it was estimated: one
//! without usage, and a stream that broke off or was left before its usage came. What nobody answered is given back.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    audit::{AuditRecord, Chain, Outcome},
    limit::{MAX_AMOUNT, Meter, Quota, Reservation},
};
use serde_json::json;

use super::InferenceApi;
use crate::{
    chat::{ChatRequest, ChatStream},
    router::Used,
};

/// Counts what is asked of models, whatever they are.
const CALLS: &str = "models.calls";
/// Counts tokens of chats, of prompts and answers.
pub(super) const CHAT_TOKENS: &str = "chat.tokens";
/// Counts tokens of texts that are embedded.
pub(super) const EMBEDDING_TOKENS: &str = "embeddings.tokens";
/// Bytes of a text that are taken for one token.
const BYTES_A_TOKEN: u64 = 4;
/// Tokens that an answer is taken to have where its request sets no bound.
const ANSWER: u64 = 1_024;

/// What a request has reserved. Dropped, it stays counted.
#[derive(Debug)]
pub(super) struct Spending {
    quota: Arc<dyn Quota>,
    scope: Scope,
    call: Reservation,
    tokens: Reservation,
}

impl InferenceApi {
    /// Reserves a call of `model`, and `estimate` tokens counted as `meter`; nothing where nothing is counted.
    ///
    /// # Errors
    /// As [`Quota::reserve`]; nothing is reserved then.
    pub(super) async fn spend(
        &self,
        scope: &Scope,
        model: &str,
        meter: &'static str,
        estimate: u64,
    ) -> Result<Option<Spending>> {
        let Some(quota) = &self.quota else { return Ok(None) };
        let refused = |error: &Error, meter: &str| {
            if error.kind() == ErrorKind::RateLimited {
                self.over_quota(scope, model, meter);
            }
        };
        let call = quota.reserve(scope, &Meter::parse(CALLS)?, 1).await;
        let call = call.inspect_err(|error| refused(error, CALLS))?;
        match quota.reserve(scope, &Meter::parse(meter)?, estimate.min(MAX_AMOUNT)).await {
            Ok(tokens) => Ok(Some(Spending { quota: quota.clone(), scope: scope.clone(), call, tokens })),
            Err(error) => {
                refused(&error, meter);
                settle(&**quota, scope, &call, 0).await;
                Err(error)
            }
        }
    }

    /// Records that a quota refused a request.
    fn over_quota(&self, scope: &Scope, model: &str, meter: &str) {
        let model: String = model.chars().take(200).collect();
        let record = AuditRecord {
            actor: scope.principal().id.to_string(),
            action: "quota.denied".into(),
            resource: format!("model/{model}"),
            outcome: Outcome::Denied,
            request_id: scope.request_id().to_string(),
            detail: json!({ "reason": format!("over the quota of {meter}") }),
        };
        self.denials.denied(Chain::Tenant(scope.tenant().clone()), record);
    }
}

impl Spending {
    /// It was answered, and came to so many tokens; as many as were reserved where nobody says.
    pub(super) async fn answered(self, tokens: Option<u64>) {
        let Self { quota, scope, call, tokens: reserved } = self;
        settle(&*quota, &scope, &call, 1).await;
        let tokens = tokens.map_or(reserved.amount, |tokens| tokens.min(MAX_AMOUNT));
        settle(&*quota, &scope, &reserved, tokens).await;
    }

    /// Nobody answered.
    pub(super) async fn unanswered(self) {
        let Self { quota, scope, call, tokens } = self;
        settle(&*quota, &scope, &call, 0).await;
        settle(&*quota, &scope, &tokens, 0).await;
    }
}

async fn settle(quota: &dyn Quota, scope: &Scope, reserved: &Reservation, actual: u64) {
    if let Err(error) = quota.settle(scope, reserved, actual).await {
        // It stays counted, and ends with its period.
        tracing::warn!(
            tenant = %scope.tenant(), meter = reserved.meter.as_str(), error = error.report(),
            "what a model was asked was not settled",
        );
    }
}

/// The stream, settled before its last item is handed on.
pub(super) fn settled(chunks: ChatStream, used: Used, spending: Option<Spending>) -> ChatStream {
    let Some(spending) = spending else { return chunks };
    Box::pin(stream::unfold(Some((chunks, used, spending)), |going| async move {
        let (mut chunks, used, spending) = going?;
        match chunks.next().await {
            Some(Ok(chunk)) => Some((Ok(chunk), Some((chunks, used, spending)))),
            last => {
                // The provider is let go before the database is asked.
                drop(chunks);
                spending.answered(used.tokens()).await;
                last.map(|error| (error, None))
            }
        }
    }))
}

/// Tokens that a chat may come to: those of what is said, by its length, and as many as each answer may have.
pub(super) fn of_chat(request: &ChatRequest) -> u64 {
    let said = ["messages", "tools", "functions", "response_format"];
    let bytes: usize = said.iter().filter_map(|name| request.field(name)).map(|json| json.get().len()).sum();
    let number = |name: &str| request.field(name).and_then(|json| json.get().parse::<u64>().ok());
    let answer = number("max_completion_tokens").or_else(|| number("max_tokens")).unwrap_or(ANSWER);
    let answers = number("n").unwrap_or(1).max(1);
    of_bytes(bytes).saturating_add(answer.saturating_mul(answers))
}

/// Tokens that so much text may come to.
pub(super) fn of_bytes(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_A_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_of_what_is_said_and_what_may_be_answered() {
        let of = |more: &str| {
            let json = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
            of_chat(&ChatRequest::parse(json.as_bytes()).unwrap())
        };
        let said = of_bytes(r#"[{"role":"user","content":"hi"}]"#.len());
        assert_eq!(of(""), said + ANSWER);
        assert_eq!(of(r#","max_tokens":7"#), said + 7);
        assert_eq!(of(r#","max_tokens":7,"max_completion_tokens":9,"n":3"#), said + 27);
        assert_eq!(of(r#","max_tokens":null,"n":0"#), said + ANSWER);
        assert_eq!(of(r#","tools":[1234567]"#), said + 3 + ANSWER);
        assert_eq!(of(r#","max_tokens":18446744073709551615,"n":9"#), u64::MAX);
    }
}
