//! Everything that is no answer, as errors.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::RETRY_AFTER};
use hyper::body::Incoming;
use mcp_core::{
    Error, ErrorKind,
    clock::Timestamp,
    error::{Detail, Retry},
};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{OpenAiConfig, client};
use crate::chat::answer::NoAnswer;

pub(super) const OPERATION: &str = "chat.provider";
/// Most bytes of an error's body that are read.
pub(super) const MAX_ERROR: usize = 64 << 10;
/// Most characters of what a provider says about a request that reach the caller.
const MAX_MESSAGE: usize = 400;

/// What went wrong at the provider.
#[derive(Debug)]
pub(super) enum Failure {
    Unreachable,
    Broke,
    Silent(Duration),
    Paused(Duration),
    Overlong(Duration),
    TooLong,
    ContentType(&'static str),
    ErrorInside { rate_limit: bool },
    Nonsense,
    HalfAStream,
}

impl From<NoAnswer> for Failure {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Error { rate_limit } => Self::ErrorInside { rate_limit },
            NoAnswer::Nonsense => Self::Nonsense,
        }
    }
}

impl Failure {
    /// The error of the provider `name`.
    pub(super) fn of(&self, name: &str) -> Error {
        let (kind, why) = match self {
            Self::Unreachable => (ErrorKind::Unavailable, "cannot be reached".to_owned()),
            Self::Broke => (ErrorKind::Upstream, "broke the connection".to_owned()),
            Self::Silent(limit) => (ErrorKind::Upstream, format!("did not begin to answer within {limit:?}")),
            Self::Paused(limit) => {
                (ErrorKind::Upstream, format!("paused for more than {limit:?} in its answer"))
            }
            Self::Overlong(limit) => {
                (ErrorKind::Upstream, format!("did not end its answer within {limit:?}"))
            }
            Self::TooLong => (ErrorKind::Upstream, "answered with more bytes than its limit".to_owned()),
            Self::ContentType(wanted) => (ErrorKind::Upstream, format!("answered with what is no {wanted}")),
            Self::ErrorInside { rate_limit: true } => {
                (ErrorKind::RateLimited, "refuses further requests for now".to_owned())
            }
            Self::ErrorInside { rate_limit: false } => {
                (ErrorKind::Upstream, "answered with an error".to_owned())
            }
            Self::Nonsense => (ErrorKind::Upstream, "answered with what is no chat completion".to_owned()),
            Self::HalfAStream => (ErrorKind::Upstream, "ended its answer before the end".to_owned()),
        };
        Error::new(kind, OPERATION, format!("the provider `{name}` {why}"))
    }
}

/// The error of a response whose status is no success.
pub(super) async fn of_status(
    config: &OpenAiConfig,
    model: &str,
    response: Response<Incoming>,
    now: Timestamp,
) -> Error {
    let status = response.status();
    let wait = retry_after(response.headers(), now);
    let said = match client::is_type(&response, "application/json") {
        // What cannot be read within a pause says nothing, and the status is known already.
        true => client::whole(response.into_body(), MAX_ERROR, config.idle).await.ok(),
        false => None,
    };
    let said = said.and_then(|body| Said::parse(&body));
    let error = classify(config, model, status, said);
    match wait {
        Some(wait) => error.with_detail(Detail::RetryAfter(wait)),
        None => error,
    }
}

fn classify(config: &OpenAiConfig, model: &str, status: StatusCode, said: Option<Said>) -> Error {
    let name = &config.name;
    let blame = |kind, what: &str| {
        let words = said.as_ref().map(|said| said.words(config)).unwrap_or_default();
        let colon = if words.is_empty() { "" } else { ": " };
        let error = Error::new(kind, OPERATION, format!("the provider `{name}` {what}{colon}{words}"));
        match said.as_ref().and_then(|said| said.param.clone()) {
            Some(path) => error.with_detail(Detail::Field { path, nearest: None }),
            None => error,
        }
    };
    let failed = |kind, why: String| Error::new(kind, OPERATION, format!("the provider `{name}` {why}"));
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            blame(ErrorKind::InvalidInput, "refuses the request")
        }
        StatusCode::PAYLOAD_TOO_LARGE => blame(ErrorKind::TooLarge, "finds the request too large"),
        // Without the words of the API, a 404 means that there is no API at the address.
        StatusCode::NOT_FOUND if said.as_ref().is_some_and(Said::is_about_the_model) => Error::not_found(
            OPERATION,
            format!("the provider `{name}` has no model `{model}`, which the route names"),
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(
            ErrorKind::Upstream,
            format!("refuses the credentials it is configured with ({})", status.as_u16()),
        )
        .with_retry(Retry::Never),
        StatusCode::TOO_MANY_REQUESTS => {
            failed(ErrorKind::RateLimited, "refuses further requests for now (429)".to_owned())
        }
        status => failed(ErrorKind::Upstream, format!("answered with the HTTP status {}", status.as_u16())),
    }
}

/// How long the provider asks to be left alone: seconds, milliseconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let text = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    let micros = i64::try_from(at.unix_timestamp_nanos() / 1000).ok()?;
    Some(Timestamp::from_micros(micros).since(now))
}

/// The error's body, as OpenAI and those like it write it.
struct Said {
    message: String,
    code: String,
    param: Option<String>,
}

impl Said {
    fn parse(body: &Bytes) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            message: String,
            #[serde(default)]
            code: serde_json::Value,
            #[serde(default)]
            param: serde_json::Value,
        }
        let Body { error } = serde_json::from_slice(body).ok()?;
        let param = error.param.as_str().filter(|param| !param.is_empty() && param.len() <= 128);
        Some(Self {
            code: error.code.as_str().unwrap_or_default().to_owned(),
            param: param.map(str::to_owned),
            message: error.message,
        })
    }

    fn is_about_the_model(&self) -> bool {
        self.code == "model_not_found" || self.message.to_ascii_lowercase().contains("model")
    }

    /// The message on one line, without the key, should the provider repeat it.
    fn words(&self, config: &OpenAiConfig) -> String {
        let mut words = self.message.clone();
        if let Some(key) = config.api_key.as_ref().map(|key| key.expose()).filter(|key| !key.is_empty()) {
            words = words.replace(key.as_str(), "…");
        }
        let line = |c: char| if c.is_control() { ' ' } else { c };
        words.chars().map(line).take(MAX_MESSAGE).collect::<String>().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use mcp_core::key::Secret;

    use super::*;

    fn classified(status: u16, body: &str) -> Error {
        let mut config = OpenAiConfig::new("main", "http://127.0.0.1:1/v1").unwrap();
        config.api_key = Some(Secret::new("sk-secret".to_owned()));
        let said = Said::parse(&Bytes::from(body.to_owned()));
        classify(&config, "gpt-4o", StatusCode::from_u16(status).unwrap(), said)
    }

    #[test]
    fn whose_fault_it_is_shows_in_the_kind() {
        let body = r#"{"error":{"message":"bad role\nsk-secret","type":"invalid_request_error","param":"messages[0].role","code":null}}"#;
        for (status, kind) in [
            (400, ErrorKind::InvalidInput),
            (422, ErrorKind::InvalidInput),
            (413, ErrorKind::TooLarge),
            (401, ErrorKind::Upstream),
            (403, ErrorKind::Upstream),
            (404, ErrorKind::Upstream),
            (429, ErrorKind::RateLimited),
            (302, ErrorKind::Upstream),
            (500, ErrorKind::Upstream),
            (503, ErrorKind::Upstream),
        ] {
            let error = classified(status, body);
            assert_eq!(error.kind(), kind, "{status}");
            assert!(!error.report().contains("sk-secret"), "{error}");
            let blamed = matches!(kind, ErrorKind::InvalidInput | ErrorKind::TooLarge);
            assert_eq!(error.message().contains("bad role …"), blamed, "{error}");
        }
        let missing = r#"{"error":{"message":"The model `gpt-4o` does not exist","code":"model_not_found"}}"#;
        assert_eq!(classified(404, missing).kind(), ErrorKind::NotFound);
        assert_eq!(classified(400, "<html>").message(), "the provider `main` refuses the request");
    }

    #[test]
    fn the_three_ways_to_say_when() {
        let now = Timestamp::from_micros(1_704_110_400_000_000);
        let wait = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(wait("retry-after", "Mon, 01 Jan 2024 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("retry-after", "Mon, 01 Jan 2024 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("retry-after", "soon"), None);
    }
}
