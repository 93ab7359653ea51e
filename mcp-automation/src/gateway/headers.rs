//! What the headers of a request must be before its body is read.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, Uri, header};
use mcp_core::{Error, Result};

use super::config::GatewayConfig;

/// The session of a client before 2026-07-28.
pub(super) const SESSION_ID: &str = "mcp-session-id";
/// The version a request is of.
pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The method of a stateless request.
pub(super) const METHOD: &str = "mcp-method";
/// The name or URI of a stateless request.
pub(super) const NAME: &str = "mcp-name";

/// The one value of a header.
///
/// # Errors
/// When it is there twice or is not printable ASCII; the text names the header.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("the header {name} is there twice"));
    }
    value.to_str().map(Some).map_err(|_| format!("the header {name} holds characters it must not"))
}

/// A header's text: as it is, or in the `=?base64?…?=` form that holds any Unicode.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let Some(coded) = text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(text));
    };
    String::from_utf8(STANDARD.decode(coded).ok()?).ok().map(Cow::Owned)
}

/// Refuses browsers of foreign origins and hosts that are not served.
///
/// # Errors
/// [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) that names the header.
pub(super) fn check_origin(config: &GatewayConfig, uri: &Uri, headers: &HeaderMap) -> Result<()> {
    let host = uri.authority().map(http::uri::Authority::as_str);
    let host = host.or_else(|| headers.get(header::HOST).and_then(|value| value.to_str().ok()));
    if !config.allowed_hosts.is_empty()
        && !host.is_some_and(|host| config.allowed_hosts.iter().any(|allowed| host_matches(allowed, host)))
    {
        return Err(Error::permission_denied("gateway.host", "this value of `Host` is not served here"));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("");
        let own = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        let listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        if !own && !config.allowed_origins.iter().any(listed) {
            return Err(Error::permission_denied(
                "gateway.origin",
                "this `Origin` may not call this endpoint",
            ));
        }
    }
    Ok(())
}

fn host_matches(allowed: &str, host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(without_port)
}

/// Checks `Content-Type` and `Accept` of a POST.
///
/// # Errors
/// The status and the sentence to refuse with.
pub(super) fn check_media(headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !essence(content_type).eq_ignore_ascii_case("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `Content-Type: application/json`"));
    }
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        return Err((
            StatusCode::NOT_ACCEPTABLE,
            "the answer is JSON or a stream: send `Accept: application/json, text/event-stream`",
        ));
    }
    Ok(())
}

/// Whether a media type is accepted; a request that does not say accepts all.
pub(super) fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !range.trim().is_empty())
        .peekable();
    if ranges.peek().is_none() {
        return true;
    }
    let area = wanted.split('/').next().unwrap_or(wanted);
    ranges.any(|range| {
        let range_essence = essence(range);
        let matches = range_essence == "*/*"
            || range_essence.eq_ignore_ascii_case(wanted)
            || range_essence.strip_suffix("/*").is_some_and(|half| half.eq_ignore_ascii_case(area));
        matches && !refused(range)
    })
}

fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or(value).trim()
}

/// Whether a media range has the weight zero.
fn refused(range: &str) -> bool {
    range.split(';').skip(1).any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        name.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn media_types_are_matched_as_http_says() {
        let json = ("content-type", "application/json; charset=utf-8");
        for accept in
            ["application/json, text/event-stream", "*/*", "text/event-stream;q=0.5, application/*", ""]
        {
            assert_eq!(check_media(&headers(&[json, ("accept", accept)])), Ok(()), "{accept}");
        }
        assert_eq!(check_media(&headers(&[json])), Ok(()));
        for accept in ["application/json", "text/html", "application/json, text/event-stream;q=0"] {
            let refusal = check_media(&headers(&[json, ("accept", accept)])).unwrap_err();
            assert_eq!(refusal.0, StatusCode::NOT_ACCEPTABLE, "{accept}");
        }
        for content_type in ["text/plain", "application/jsonp", ""] {
            let refusal = check_media(&headers(&[("content-type", content_type)])).unwrap_err();
            assert_eq!(refusal.0, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        }
    }

    #[test]
    fn only_own_and_listed_origins_pass() {
        let config =
            GatewayConfig { allowed_origins: vec!["https://app.example".into()], ..GatewayConfig::default() };
        let check = |origin: Option<&'static str>| {
            let mut pairs = vec![("host", "mcp.example:8443")];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            check_origin(&config, &Uri::from_static("/mcp"), &headers(&pairs)).is_ok()
        };
        assert!(check(None));
        assert!(check(Some("https://mcp.example:8443")));
        assert!(check(Some("https://app.example")));
        for foreign in ["https://evil.example", "null", "https://mcp.example", "https://app.example.evil"] {
            assert!(!check(Some(foreign)), "{foreign}");
        }
    }

    #[test]
    fn with_a_list_of_hosts_no_other_is_served() {
        let config = GatewayConfig {
            allowed_hosts: vec!["localhost".into(), "127.0.0.1:9000".into()],
            ..GatewayConfig::default()
        };
        let check = |host: &'static str| {
            check_origin(&config, &Uri::from_static("/mcp"), &headers(&[("host", host)]))
        };
        for host in ["localhost", "localhost:80", "127.0.0.1:9000"] {
            assert!(check(host).is_ok(), "{host}");
        }
        for host in ["evil.example", "127.0.0.1", "localhost.evil", "localhost:x"] {
            assert!(check(host).is_err(), "{host}");
        }
        assert!(check_origin(&config, &Uri::from_static("/mcp"), &HeaderMap::new()).is_err());
    }

    #[test]
    fn names_beyond_ascii_are_read() {
        assert_eq!(decode("echo").as_deref(), Some("echo"));
        assert_eq!(decode("=?base64?w6nDqQ==?=").as_deref(), Some("éé"));
        assert_eq!(decode("=?base64?***?="), None);
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        assert_eq!(single(&headers(&[("mcp-method", "a")]), METHOD), Ok(Some("a")));
        assert!(single(&headers(&[("mcp-method", "a"), ("mcp-method", "a")]), METHOD).is_err());
        assert_eq!(single(&HeaderMap::new(), METHOD), Ok(None));
    }
}
