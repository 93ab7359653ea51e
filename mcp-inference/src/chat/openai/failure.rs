//! What a provider does wrong, as errors: the one place where they are made.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header};
use mcp_core::{
    Error, ErrorKind,
    error::{Detail, Retry},
};
use serde::Deserialize;
use serde_json::Value;

/// Most of an error's body that is read.
pub(super) const MAX_BODY: usize = 64 << 10;
/// Characters of a provider's own message that are passed on.
const MAX_MESSAGE: usize = 500;
/// Longest `Retry-After` that is believed.
const MAX_WAIT: u64 = 3_600;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Makes the errors of one provider.
#[derive(Debug, Clone)]
pub(super) struct Failures(Arc<str>);

#[derive(Deserialize)]
struct Reported {
    message: Option<String>,
}

impl Failures {
    pub(super) fn new(provider: &str) -> Self {
        Self(provider.into())
    }

    pub(super) fn provider(&self) -> &str {
        &self.0
    }

    pub(super) fn unreachable(&self, error: hyper_util::client::legacy::Error) -> Error {
        let why = if error.is_connect() { "cannot be reached" } else { "broke the connection" };
        self.error(ErrorKind::Unavailable, why).with_source(error)
    }

    pub(super) fn too_slow(&self) -> Error {
        self.error(ErrorKind::DeadlineExceeded, "did not answer in time")
    }

    pub(super) fn nonsense(&self, why: &str, source: Option<Source>) -> Error {
        let error = self.error(ErrorKind::Upstream, why);
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    /// An answer with a status that is no success.
    pub(super) fn status(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = message(body.get("error").unwrap_or(&Value::Null));
        let error = match status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                // The caller's request is at fault, so the caller is told why.
                let why = said.unwrap_or_else(|| format!("HTTP status {status}"));
                let message = format!("provider `{}` refuses the request: {why}", self.0);
                return Error::invalid_input("provider.chat", message).with_retry(Retry::Never);
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                // What it says may quote the key.
                return self.error(ErrorKind::Upstream, "refuses the platform's credentials");
            }
            StatusCode::NOT_FOUND => self.error(ErrorKind::Upstream, "does not know the path or the model"),
            StatusCode::TOO_MANY_REQUESTS => self.error(ErrorKind::RateLimited, "is asked too often (429)"),
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => self.too_slow(),
            status if status.is_server_error() => {
                self.error(ErrorKind::Unavailable, &format!("answered with the HTTP status {status}"))
            }
            status => self.error(ErrorKind::Upstream, &format!("answered with the HTTP status {status}")),
        };
        let error = match retry_after(headers) {
            Some(wait) => error.with_detail(Detail::RetryAfter(wait)),
            None => error,
        };
        match said {
            Some(said) => error.with_context("provider_says", said),
            None => error,
        }
    }

    /// A success of another content type than was asked for.
    pub(super) fn other_type(&self, found: &str, wanted: &str, body: &[u8]) -> Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match body.get("error").filter(|error| !error.is_null()) {
            Some(error) => self.reported(error),
            None => {
                let found: String = found.chars().take(64).collect();
                self.nonsense(&format!("answered with the content type {found:?} instead of {wanted}"), None)
            }
        }
    }

    /// An error where an answer should be, with status 200 or in mid-stream.
    pub(super) fn reported(&self, error: &Value) -> Error {
        let failure = self.error(ErrorKind::Upstream, "answered with an error in place of an answer");
        match message(error) {
            Some(said) => failure.with_context("provider_says", said),
            None => failure,
        }
    }

    fn error(&self, kind: ErrorKind, why: &str) -> Error {
        Error::new(kind, "provider.chat", format!("provider `{}` {why}", self.0)).with_retry(Retry::Maybe)
    }
}

fn message(error: &Value) -> Option<String> {
    let said = match error {
        Value::String(said) => Some(said.clone()),
        _ => Reported::deserialize(error).ok().and_then(|reported| reported.message),
    };
    said.map(|said| said.chars().take(MAX_MESSAGE).collect())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(MAX_WAIT)))
}
