//! Versions and keys in headers.

use http::{HeaderMap, HeaderName, header};
use mcp_core::{Error, Result, error::Detail};

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 128;

/// What makes trying again safe, if the caller sent it.
///
/// # Errors
/// `InvalidInput` for several, or for one that is no printable text of 1 to 128 characters without blanks.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    const RULE: &str = "must have 1 to 128 printable characters without blanks";
    let Some(key) = only(headers, &HeaderName::from_static("idempotency-key"), RULE)? else {
        return Ok(None);
    };
    match (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Some(key.to_owned())),
        false => Err(refused("idempotency-key", RULE)),
    }
}

/// The version that `If-Match` expects; none for `*`.
///
/// # Errors
/// `InvalidInput` for several versions, or what is none.
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<i64>> {
    const RULE: &str = "must be one version, as `ETag` gives it: \"3\"";
    let Some(tag) = only(headers, &header::IF_MATCH, RULE)?.filter(|tag| *tag != "*") else {
        return Ok(None);
    };
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag).parse();
    version.map(Some).map_err(|_| refused("if-match", RULE))
}

/// The version as an entity tag.
pub(super) fn etag(version: i64) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName, rule: &str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| refused(name.as_str(), rule)),
        (Some(_), Some(_)) => Err(refused(name.as_str(), "is given twice")),
    }
}

fn refused(name: &str, rule: &str) -> Error {
    let field = Detail::Field { path: name.to_owned(), nearest: None };
    Error::invalid_input("api.header", format!("the header `{name}` {rule}")).with_detail(field)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_version_is_read() {
        let version = |values| expected_version(&with("if-match", values));
        assert_eq!(version(&["\"3\""]).unwrap(), Some(3));
        assert_eq!(version(&["3"]).unwrap(), Some(3));
        assert_eq!(version(&["*"]).unwrap(), None);
        assert_eq!(version(&[]).unwrap(), None);
        for bad in [&["\"3\"", "\"4\""][..], &["\"3\", \"4\""], &["W/\"3\""], &["x"], &[""]] {
            assert!(version(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_key_is_read() {
        let key = |values| idempotency_key(&with("idempotency-key", values));
        assert_eq!(key(&["k-1"]).unwrap().as_deref(), Some("k-1"));
        assert_eq!(key(&[]).unwrap(), None);
        for bad in [&["a", "a"][..], &[""], &["a b"]] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
        let long = "x".repeat(MAX_KEY + 1);
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", long.parse().unwrap());
        assert!(idempotency_key(&headers).is_err());
    }
}
