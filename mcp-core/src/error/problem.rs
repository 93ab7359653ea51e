//! RFC 9457 problem documents: the body of an error under `/api` and of refusals everywhere.

use serde::Serialize;

use super::{Detail, Error};
use crate::scope::RequestId;

/// `application/problem+json` of an [`Error`].
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Problem<'a> {
    /// `urn:mcp-platform:error:{kind}`.
    #[serde(rename = "type")]
    type_uri: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    /// The kind's name, so that programs need not take the URN apart.
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<i64>,
    /// Seconds, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<QuotaFigures<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
}

/// The quota that is used up.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
struct QuotaFigures<'a> {
    /// What is counted.
    meter: &'a str,
    /// `day` or `month`, in UTC.
    period: &'static str,
    limit: u64,
    remaining: u64,
    resets_at: crate::clock::Timestamp,
}

impl<'a> Problem<'a> {
    /// The media type of the document.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// The document of `error`, with the id of the request that met it.
    #[must_use]
    pub fn new(error: &'a Error, request_id: Option<&'a RequestId>) -> Self {
        let status = error.kind().status();
        let mut problem = Self {
            type_uri: format!("urn:mcp-platform:error:{}", error.kind().as_str()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: error.message(),
            code: error.kind().as_str(),
            request_id,
            current_version: None,
            retry_after: None,
            quota: None,
            field: None,
            nearest: None,
            missing_scope: None,
            limit_bytes: None,
            server: None,
        };
        for detail in error.details() {
            match detail {
                Detail::Conflict { current } => problem.current_version = Some(*current),
                Detail::RetryAfter(wait) => problem.retry_after = Some(seconds_rounded_up(*wait)),
                // These travel as headers.
                Detail::RateLimit { .. } | Detail::InvalidCredential => {}
                Detail::Quota { meter, period, limit, remaining, resets_at } => {
                    let (limit, remaining, resets_at) = (*limit, *remaining, *resets_at);
                    problem.quota = Some(QuotaFigures { meter, period, limit, remaining, resets_at });
                }
                Detail::Field { path, nearest } => {
                    problem.field = Some(path);
                    problem.nearest = nearest.as_deref();
                }
                Detail::MissingScope { scope } => problem.missing_scope = Some(scope),
                Detail::Limit { bytes } => problem.limit_bytes = Some(*bytes),
                Detail::Server { name } => problem.server = Some(name),
            }
        }
        problem
    }
}

/// Whole seconds, rounded up, at least 1: a caller who waits that long is not early.
pub(crate) fn seconds_rounded_up(wait: std::time::Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_document_holds_what_a_program_acts_on() {
        let error = Error::new(ErrorKind::RateLimited, "limit.check", "over 60 requests a minute")
            .with_detail(Detail::RetryAfter(Duration::from_millis(1200)));
        let json = serde_json::to_value(Problem::new(&error, None)).unwrap();
        assert_eq!(json["type"], "urn:mcp-platform:error:rate_limited");
        assert_eq!(json["status"], 429);
        assert_eq!(json["retry_after"], 2);
        assert_eq!(json.get("current_version"), None);
    }
}
