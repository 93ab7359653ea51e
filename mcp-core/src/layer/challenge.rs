//! What `WWW-Authenticate` says: RFC 6750, RFC 9728 §5.1 and the authorization chapter of the MCP
//! specification (2025-11-25 and 2026-07-28). It is written here and nowhere else.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

use crate::error::{Detail, Error, ErrorKind, Result};

/// How a server asks for credentials, and for more of them.
///
/// With the URL of its protected-resource metadata a 401 says where to find who issues tokens
/// (`resource_metadata`), which scopes to ask for (`scope`, where given), and `error="invalid_token"` where a
/// credential was shown and is not good. A 403 for a missing permission says `error="insufficient_scope"` and
/// names that permission as `scope`, so that a client can step up.
///
/// The default knows no metadata: its 401 is the bare scheme, `Bearer`.
#[derive(Debug, Clone, Default)]
pub struct Challenge {
    metadata: Option<Arc<str>>,
    scope: Option<Arc<str>>,
}

impl Challenge {
    /// The challenge of the resource whose RFC 9728 document is at `resource_metadata`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no `http` or `https` URL of printable ASCII without
    /// quotation marks and backslashes.
    pub fn new(resource_metadata: &str) -> Result<Self> {
        let is_url = resource_metadata.starts_with("https://") || resource_metadata.starts_with("http://");
        if !is_url || !resource_metadata.bytes().all(is_quotable) {
            return Err(Error::invalid_input(
                "layer.challenge",
                format!("{resource_metadata:?} is no URL that fits into a WWW-Authenticate header"),
            ));
        }
        Ok(Self { metadata: Some(resource_metadata.into()), scope: None })
    }

    /// The same, with the scopes that a client should ask for first.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a scope that has a blank, a quotation mark or a backslash.
    pub fn with_scopes(mut self, scopes: &[&str]) -> Result<Self> {
        if let Some(bad) = scopes.iter().find(|scope| scope.is_empty() || !scope.bytes().all(is_quotable)) {
            return Err(Error::invalid_input("layer.challenge", format!("{bad:?} is no scope")));
        }
        self.scope = (!scopes.is_empty()).then(|| scopes.join(" ").into());
        Ok(self)
    }

    /// Writes the header that the response of `error` carries, if it carries one.
    pub(super) fn write(&self, error: &Error, headers: &mut HeaderMap) {
        let missing = error.details().iter().find_map(|detail| match detail {
            Detail::MissingScope { scope } => Some(*scope),
            _ => None,
        });
        let value = match (error.kind(), missing) {
            (ErrorKind::Unauthenticated, _) => self.unauthenticated(error),
            (ErrorKind::PermissionDenied, Some(scope)) => self.step_up(scope),
            _ => return,
        };
        headers.insert(header::WWW_AUTHENTICATE, value);
    }

    /// What asks for a token with the permission `scope` in addition.
    #[must_use]
    pub fn step_up(&self, scope: &'static str) -> HeaderValue {
        let mut text = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        if let Some(metadata) = &self.metadata {
            text.push_str(&format!(", resource_metadata=\"{metadata}\""));
        }
        bearer(&text)
    }

    fn unauthenticated(&self, error: &Error) -> HeaderValue {
        let Some(metadata) = &self.metadata else { return bearer("Bearer") };
        let mut text = format!("Bearer resource_metadata=\"{metadata}\"");
        if let Some(scope) = &self.scope {
            text.push_str(&format!(", scope=\"{scope}\""));
        }
        // RFC 6750 §3.1: a request that showed no credential is told of no error.
        if error.details().contains(&Detail::InvalidCredential) {
            text.push_str(", error=\"invalid_token\"");
        }
        bearer(&text)
    }
}

/// In the extensions of a response that is no error of ours to write (a JSON-RPC error, say): the permission
/// that its caller lacks. [`RescueLayer`](super::RescueLayer) challenges for it.
#[derive(Debug, Clone, Copy)]
pub struct StepUp(pub &'static str);

/// The parts were checked, so that this does not fail; the bare scheme is right for every challenge.
fn bearer(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

const fn is_quotable(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "https://platform.example/.well-known/oauth-protected-resource/mcp";

    fn written(challenge: &Challenge, error: &Error) -> Option<String> {
        let mut headers = HeaderMap::new();
        challenge.write(error, &mut headers);
        headers.get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_401_says_where_tokens_come_from_and_whether_one_was_shown() {
        let challenge = Challenge::new(METADATA).unwrap().with_scopes(&["tools:call", "tools:list"]).unwrap();
        let none = Error::unauthenticated("test", "no");
        let asks = format!("Bearer resource_metadata=\"{METADATA}\", scope=\"tools:call tools:list\"");
        assert_eq!(written(&challenge, &none), Some(asks.clone()));
        let bad = none.with_detail(Detail::InvalidCredential);
        assert_eq!(written(&challenge, &bad), Some(format!("{asks}, error=\"invalid_token\"")));
        assert_eq!(written(&Challenge::default(), &bad).as_deref(), Some("Bearer"));
    }

    #[test]
    fn a_missing_permission_is_named_for_step_up_and_other_refusals_are_not() {
        let challenge = Challenge::new(METADATA).unwrap();
        let denied = Error::permission_denied("test", "no");
        assert_eq!(written(&challenge, &denied), None);
        let missing = denied.with_detail(Detail::MissingScope { scope: "tools:call" });
        let expected = format!(
            "Bearer error=\"insufficient_scope\", scope=\"tools:call\", resource_metadata=\"{METADATA}\""
        );
        assert_eq!(written(&challenge, &missing), Some(expected));
    }

    #[test]
    fn nothing_breaks_out_of_the_quotation_marks() {
        for url in
            ["", "ftp://x", "https://x/\"", "https://x/\\", "https://x/ y", "https://x/\r\nset-cookie: a"]
        {
            assert!(Challenge::new(url).is_err(), "{url:?}");
        }
        for scope in ["", "a b", "a\"", "a\\"] {
            assert!(Challenge::new(METADATA).unwrap().with_scopes(&[scope]).is_err(), "{scope:?}");
        }
    }
}
