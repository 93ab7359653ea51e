//! An error as programs in other languages get it: nothing of it lost, nothing but data.

use mcp_core::{
    Error, ErrorKind,
    error::{Detail, Retry},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a binding makes its exception of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// [`ErrorKind::as_str`].
    pub kind: &'static str,
    /// For people; fit for the caller.
    pub message: String,
    /// Where it went wrong, `crate.verb`.
    pub operation: &'static str,
    /// Whether the same call may be tried again: `never`, `maybe`, `exhausted`.
    pub retry: &'static str,
    /// What a program can act on, under the names of problem documents: `current_version`, `retry_after`
    /// (seconds), `field`, `nearest`, `missing_scope`, `limit_bytes`, `server`.
    pub details: Map<String, Value>,
}

impl Failure {
    /// The names of all kinds, for bindings to have a class or code for each.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        ErrorKind::ALL.into_iter().map(ErrorKind::as_str)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let retry = match error.retry() {
            Retry::Maybe => "maybe",
            Retry::Exhausted => "exhausted",
            _ => "never",
        };
        let mut details = Map::new();
        for (name, value) in error.details().iter().flat_map(pairs) {
            details.insert(name.to_owned(), value);
        }
        let message = error.message().to_owned();
        Self { kind: error.kind().as_str(), message, operation: error.operation(), retry, details }
    }
}

fn pairs(detail: &Detail) -> Vec<(&'static str, Value)> {
    match detail {
        Detail::Conflict { current } => vec![("current_version", json!(current))],
        Detail::RetryAfter(wait) => vec![("retry_after", json!(wait.as_secs_f64()))],
        Detail::RateLimit { limit, remaining, reset } => {
            let reset = json!(reset.as_secs_f64());
            vec![("limit", json!(limit)), ("remaining", json!(remaining)), ("reset", reset)]
        }
        Detail::Field { path, nearest } => {
            let nearest = nearest.as_ref().map(|nearest| ("nearest", json!(nearest)));
            std::iter::once(("field", json!(path))).chain(nearest).collect()
        }
        Detail::MissingScope { scope } => vec![("missing_scope", json!(scope))],
        Detail::Limit { bytes } => vec![("limit_bytes", json!(bytes))],
        Detail::Server { name } => vec![("server", json!(name))],
        // A detail that a newer core may have.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_detail_arrives() {
        let details = [
            Detail::Conflict { current: 3 },
            Detail::RetryAfter(Duration::from_millis(1500)),
            Detail::RateLimit { limit: 60, remaining: 0, reset: Duration::from_secs(9) },
            Detail::Field { path: "a.b".to_owned(), nearest: Some("a.c".to_owned()) },
            Detail::MissingScope { scope: "tools:call" },
            Detail::Limit { bytes: 7 },
            Detail::Server { name: "time".to_owned() },
        ];
        let error = details.into_iter().fold(Error::upstream("a.b", "no"), Error::with_detail);
        let failure = serde_json::to_value(Failure::from(&error)).unwrap();
        let wanted = json!({
            "kind": "upstream", "message": "no", "operation": "a.b", "retry": "maybe",
            "details": {
                "current_version": 3, "retry_after": 1.5, "limit": 60, "remaining": 0, "reset": 9.0,
                "field": "a.b", "nearest": "a.c", "missing_scope": "tools:call", "limit_bytes": 7, "server": "time",
            },
        });
        assert_eq!(failure, wanted);
    }
}
