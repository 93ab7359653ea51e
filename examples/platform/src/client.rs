//! A small MCP client over HTTP with a token: what the demo and the tests speak with.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mcp_core::{Error, Result, key::Secret};
use serde_json::{Value, json};

const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Longest exchange: longer than the platform lets a call take.
const PATIENCE: Duration = Duration::from_secs(180);
const OPERATION: &str = "client.send";

/// One answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The JSON body, or the last JSON message of an event stream.
    pub body: Value,
}

/// A client of one tenant.
#[derive(Debug)]
pub struct McpClient {
    http: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    token: Secret<String>,
    session: Option<HeaderValue>,
    next_id: u64,
}

impl McpClient {
    /// Opens a session of protocol 2025-11-25.
    ///
    /// # Errors
    /// `Upstream` with the status and body, if the endpoint refuses.
    pub async fn connect(url: Uri, token: Secret<String>) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        let mut client = Self { http, url, token, session: None, next_id: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "mcp-platform", "version": env!("CARGO_PKG_VERSION") },
        });
        let answer = client.attempt("initialize", &hello, &[]).await?;
        client.session = answer.headers.get("mcp-session-id").cloned();
        result(answer)?;
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }), &[]).await?;
        Ok(client)
    }

    /// The names of all tools.
    ///
    /// # Errors
    /// `Upstream` with the status and body, if the endpoint refuses.
    pub async fn tools(&mut self) -> Result<Vec<String>> {
        let result = result(self.attempt("tools/list", &json!({}), &[]).await?)?;
        let tools = result["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect())
    }

    /// Calls a tool and returns the text of its answer.
    ///
    /// # Errors
    /// `Upstream` with the status and body, if the endpoint refuses or the tool fails.
    pub async fn call(&mut self, tool: &str, arguments: &Value) -> Result<String> {
        let params = json!({ "name": tool, "arguments": arguments });
        let result = result(self.attempt("tools/call", &params, &[]).await?)?;
        let text = result["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        if result["isError"] == true {
            return Err(Error::upstream(OPERATION, format!("{tool} failed: {text}")));
        }
        Ok(text)
    }

    /// Sends one request with more headers and returns whatever comes.
    ///
    /// # Errors
    /// `Upstream` if nothing does.
    pub async fn attempt(
        &mut self,
        method: &str,
        params: &Value,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer> {
        self.next_id += 1;
        let message = json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params });
        self.send(&message, headers).await
    }

    /// Posts JSON to another path of the same server and returns whatever comes.
    ///
    /// # Errors
    /// `Upstream` if nothing does.
    pub async fn post(&self, path: &'static str, body: &Value) -> Result<Answer> {
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        let url = Uri::from_parts(parts).map_err(|error| Error::upstream(OPERATION, error.to_string()))?;
        self.send_to(&url, body, &[]).await
    }

    async fn send(&self, message: &Value, headers: &[(&'static str, &str)]) -> Result<Answer> {
        self.send_to(&self.url, message, headers).await
    }

    async fn send_to(&self, url: &Uri, message: &Value, headers: &[(&'static str, &str)]) -> Result<Answer> {
        let failed = |error: &dyn std::fmt::Display| Error::upstream(OPERATION, format!("{url}: {error}"));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(message.to_string())).map_err(|error| failed(&error))?;
        let answer = async {
            let (parts, body) =
                self.http.request(request).await.map_err(|error| failed(&error))?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| failed(&error))?;
            let body = message_in(&body.to_bytes());
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let late = |_| failed(&format_args!("no whole answer within {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, answer).await.map_err(late)?
    }
}

/// The JSON document, or the last `data:` of an event stream that is one.
pub(crate) fn message_in(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        text.lines()
            .rev()
            .filter_map(|line| line.strip_prefix("data:"))
            .find_map(|data| serde_json::from_str(data.trim()).ok())
            .unwrap_or(Value::Null)
    })
}

fn result(answer: Answer) -> Result<Value> {
    let Answer { status, mut body, .. } = answer;
    match body.get_mut("result") {
        Some(result) if status.is_success() => Ok(result.take()),
        _ => Err(Error::upstream(OPERATION, format!("{status}: {body}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_json_and_event_streams() {
        assert_eq!(message_in(br#"{"id":1}"#), json!({"id": 1}));
        let stream = b"event: message\ndata: {\"id\":1}\n\nevent: message\ndata: {\"id\":2}\n\n";
        assert_eq!(message_in(stream), json!({"id": 2}));
        assert_eq!(message_in(b""), Value::Null);
    }
}
