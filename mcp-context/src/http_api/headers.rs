//! Versions and keys in headers.

use http::{HeaderMap, HeaderValue, header};
use mcp_core::{Error, Result, error::Detail};

/// A header's text, if it is there.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>> {
    let refuse = |_| {
        Error::invalid_input("api.header", format!("the header `{name}` holds more than printable ASCII"))
            .with_detail(Detail::Field { path: name.to_owned(), nearest: None })
    };
    headers.get(name).map(HeaderValue::to_str).transpose().map_err(refuse)
}

/// The version that `If-Match` and the body expect, where one of them does; both must say the same.
pub(super) fn expected_version(headers: &HeaderMap, body: Option<i64>) -> Result<Option<i64>> {
    let refuse = |what: &str| {
        Error::invalid_input("api.if_match", format!("`If-Match` {what}"))
            .with_detail(Detail::Field { path: "if-match".to_owned(), nearest: None })
    };
    let Some(tag) = text(headers, header::IF_MATCH.as_str())? else { return Ok(body) };
    if tag == "*" {
        return Ok(body);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag).parse::<i64>();
    let version = version.map_err(|_| refuse("must be one version, as `ETag` gives it: \"3\""))?;
    match body {
        Some(other) if other != version => Err(refuse("and `expected_version` differ; send one of them")),
        _ => Ok(Some(version)),
    }
}

/// The version as an entity tag.
pub(super) fn etag(version: i64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_header_and_body() {
        let with =
            |tag: &'static str| HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(tag))]);
        assert_eq!(expected_version(&with("\"3\""), None).unwrap(), Some(3));
        assert_eq!(expected_version(&with("3"), Some(3)).unwrap(), Some(3));
        assert_eq!(expected_version(&with("*"), None).unwrap(), None);
        assert_eq!(expected_version(&HeaderMap::new(), Some(2)).unwrap(), Some(2));
        for (tag, body) in [("\"3\"", Some(4)), ("\"3\", \"4\"", None), ("W/\"3\"", None), ("x", None)] {
            assert!(expected_version(&with(tag), body).is_err(), "{tag}");
        }
    }
}
