//! Taking the credential out of the headers.

use http::{HeaderName, header::AUTHORIZATION, request::Parts};
use mcp_core::Result;

use super::refused;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The bearer credential of a request: `Authorization: Bearer …` or `X-API-Key: …`, exactly one of them,
/// once. Never from the URL, which ends up in logs.
///
/// # Errors
/// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) if there are several or the header is malformed:
/// two parts of a system must not pick different ones.
pub fn bearer(request: &Parts) -> Result<Option<&str>> {
    let authorization = only(request, &AUTHORIZATION)?;
    let api_key = only(request, &X_API_KEY)?;
    match (authorization, api_key) {
        (Some(_), Some(_)) => Err(refused("two credentials")),
        (None, key) => Ok(key),
        (Some(value), None) => {
            let token = value
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token)
                .filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
            token.map(Some).ok_or_else(|| refused("not a bearer credential"))
        }
    }
}

fn only<'a>(request: &'a Parts, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = request.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("a credential header twice"));
    }
    value.to_str().map(Some).map_err(|_| refused("a credential header that is not text"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_scheme_has_no_case_and_the_token_no_blanks() {
        assert_eq!(bearer(&parts(&[("authorization", "bEaReR abc")])).unwrap(), Some("abc"));
        assert_eq!(bearer(&parts(&[("x-api-key", "abc")])).unwrap(), Some("abc"));
        assert_eq!(bearer(&parts(&[])).unwrap(), None);
        for value in ["abc", "Bearer", "Bearer ", "Bearer  abc", "Bearer a b", "Basic abc", "Bearer a\tb"] {
            assert!(bearer(&parts(&[("authorization", value)])).is_err(), "{value:?}");
        }
    }

    #[test]
    fn two_credentials_are_refused() {
        for headers in [
            [("authorization", "Bearer a"), ("authorization", "Bearer a")],
            [("authorization", "Bearer a"), ("x-api-key", "a")],
            [("x-api-key", "a"), ("X-API-Key", "a")],
        ] {
            assert!(bearer(&parts(&headers)).is_err(), "{headers:?}");
        }
    }
}
