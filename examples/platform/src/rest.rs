//! A small client of the REST APIs with a key or token: what the demo speaks with.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mcp_core::{Error, Result, key::Secret};
use serde_json::Value;

use crate::client::{Answer, message_in};

const MAX_ANSWER: usize = 16 * 1024 * 1024;
const OPERATION: &str = "rest.send";

/// A client of one tenant, or of an operator.
#[derive(Debug, Clone)]
pub(crate) struct RestClient {
    http: Client<HttpConnector, Full<Bytes>>,
    base: String,
    token: Secret<String>,
}

impl RestClient {
    /// A client of the platform at `base`, `http://127.0.0.1:8080`.
    pub(crate) fn new(base: String, token: Secret<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { http: Client::builder(TokioExecutor::new()).build(connector), base, token }
    }

    /// The JSON at `path`.
    ///
    /// # Errors
    /// `Upstream` with the status and body, if it is refused.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        accepted(self.send(Method::GET, path, &[], None).await?)
    }

    /// What `path` answers to `body`.
    ///
    /// # Errors
    /// `Upstream` with the status and body, if it is refused.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        accepted(self.send(Method::POST, path, &[], Some(body)).await?)
    }

    /// Sends one request with more headers and returns whatever comes.
    ///
    /// # Errors
    /// `Upstream` if nothing does.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let failed = |error: &dyn std::fmt::Display| Error::upstream(OPERATION, format!("{path}: {error}"));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = request.body(Full::from(body)).map_err(|error| failed(&error))?;
        let (parts, body) = self.http.request(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body: message_in(&body) })
    }
}

fn accepted(answer: Answer) -> Result<Value> {
    let Answer { status, body, .. } = answer;
    if status.is_success() { Ok(body) } else { Err(Error::upstream(OPERATION, format!("{status}: {body}"))) }
}
