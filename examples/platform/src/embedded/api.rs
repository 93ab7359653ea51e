//! The REST API without a socket: the routes of the server, behind the layers of [`admission`](super::admission).

use axum::{Router, body::Body};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use mcp_core::{Error, Result, Scope, layer::Failed};
use serde_json::Value;
use tower::ServiceExt as _;

/// Longest answer in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A request in the making.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    idempotency_key: Option<String>,
    if_match: Option<i64>,
    body: Option<Value>,
}

impl Call {
    pub(super) const fn new(method: Method, path: String) -> Self {
        Self { method, path, idempotency_key: None, if_match: None, body: None }
    }

    /// Its method and path.
    pub(super) fn head(&self) -> (Method, String) {
        (self.method.clone(), self.path.clone())
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// A variable of the query string, where it has a value.
    pub(super) fn query(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let separator = if self.path.contains('?') { '&' } else { '?' };
            self.path = format!("{}{separator}{name}={}", self.path, encoded(value));
        }
        self
    }

    pub(super) fn idempotency_key(mut self, key: Option<&str>) -> Self {
        self.idempotency_key = key.map(str::to_owned);
        self
    }

    /// The version that is expected, where one is.
    pub(super) const fn if_match(mut self, version: Option<i64>) -> Self {
        self.if_match = version;
        self
    }

    /// The answer's JSON; null where there is none.
    ///
    /// # Errors
    /// The handler's, with all it carries.
    pub(super) async fn send(self, router: Router, scope: Scope) -> Result<Value> {
        let broken = |error: String| Error::internal("embedded.api", error);
        let mut request = Request::builder().method(self.method).uri(self.path).extension(scope);
        if let Some(key) = self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(version) = self.if_match {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        let request = match self.body {
            Some(body) => {
                request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
            }
            None => request.body(Body::empty()),
        };
        // What can be wrong with it is the key, which is the caller's.
        let request = request.map_err(|error| Error::invalid_input("embedded.api", error.to_string()))?;
        let mut response: Response<Body> = match router.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Some(error) = Failed::take(&mut response) {
            return Err(error);
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| broken(error.to_string()))?.to_bytes();
        if !head.status.is_success() {
            return Err(broken(format!("a route answered {} of its own accord", head.status)));
        }
        match body.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&body).map_err(|error| broken(error.to_string())),
        }
    }
}

/// Text as one segment of a path, or one value of a query string, whatever is in it.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut coded, byte| {
        match byte {
            b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => coded.push(char::from(byte)),
            _ => drop(write!(coded, "%{byte:02X}")),
        }
        coded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_segment() {
        assert_eq!(encoded("a-1_Z"), "a-1_Z");
        assert_eq!(encoded("../x?y#z é"), "%2E%2E%2Fx%3Fy%23z%20%C3%A9");
        let call = Call::new(Method::GET, "/p".to_owned()).query("a", Some("1&2")).query("b", None);
        assert_eq!(call.query("c", Some("")).path, "/p?a=1%262&c=");
    }
}
