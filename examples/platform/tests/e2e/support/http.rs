//! Requests as an attacker writes them.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use super::bounded::within;

/// What came back, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} is not JSON", String::from_utf8_lossy(&self.body)))
    }
}

/// A request in the making: JSON to the MCP endpoint unless it is told otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Attempt {
    pub(crate) fn new(method: Method, url: &str) -> Self {
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
            // The same in every attempt, so that answers can be compared byte for byte.
            ("x-request-id", "attempt".to_owned()),
        ];
        Self { method, url: url.to_owned(), headers, body: Bytes::new() }
    }

    /// A stateless `tools/list` of protocol 2026-07-28.
    pub(crate) fn list(url: &str) -> Self {
        Self::call(url, "tools/list", serde_json::json!({}))
    }

    /// A stateless request of protocol 2026-07-28.
    pub(crate) fn call(url: &str, method: &str, mut params: Value) -> Self {
        params["_meta"] = serde_json::json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
        let message = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut attempt = Self::new(Method::POST, url)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method)
            .body(message.to_string());
        if let Some(name) = name {
            attempt = attempt.header("mcp-name", &name);
        }
        attempt
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// In the place of a header that is there.
    pub(crate) fn instead(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.header(name, value)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it and waits for the whole answer.
    pub(crate) async fn send(self) -> Answer {
        let what = self.to_string();
        within(&what, async {
            let (parts, body) = self.open().await.into_parts();
            // A stream that is cut has an end too; what came before it counts.
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Answer { status: parts.status, headers: parts.headers, body }
        })
        .await
    }

    /// Sends it; `None` where there is no whole answer, as of a server that was killed.
    pub(crate) async fn try_send(self) -> Option<Answer> {
        let what = self.to_string();
        let (parts, body) = self.try_open().await?.into_parts();
        let body = within(&what, body.collect()).await.ok()?.to_bytes();
        Some(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Sends it and leaves the body to be read.
    pub(crate) async fn open(self) -> http::Response<hyper::body::Incoming> {
        self.try_open().await.expect("no answer")
    }

    async fn try_open(self) -> Option<http::Response<hyper::body::Incoming>> {
        let what = self.to_string();
        let mut request = Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(self.body)).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        within(&what, client.request(request)).await.ok()
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an answer to {} {}", self.method, self.url)
    }
}
