//! Clients of both eras.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use mcp_automation::gateway::{Body, Gateway};
use mcp_core::{
    Result, Scope,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde_json::{Value, json};
use tower::ServiceExt;

/// A client of the aggregate endpoint that acts as this principal.
pub(crate) fn client_of(gateway: &Gateway, tenant: &str, principal: &str, permissions: &[&str]) -> Client {
    let principal = Principal {
        id: PrincipalId::parse(principal).unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(permissions.iter().copied()).unwrap(),
    };
    let scope = Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal));
    Client { gateway: gateway.clone(), scope, path: "/mcp".to_owned(), session: None }
}

/// A client of either era.
#[derive(Clone)]
pub(crate) struct Client {
    gateway: Gateway,
    pub(crate) scope: Scope,
    pub(crate) path: String,
    pub(crate) session: Option<String>,
}

impl Client {
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>> {
        let mut request = request;
        request.extensions_mut().insert(self.scope.clone());
        tokio::time::timeout(Duration::from_secs(30), self.gateway.clone().oneshot(request)).await.unwrap()
    }

    /// A POST with the headers of a client with a session.
    pub(crate) fn legacy_request(&self, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let mut builder = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header("host", "mcp.example")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            builder = builder.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        builder.body(Full::new(body.into())).unwrap()
    }

    pub(crate) async fn post(&self, body: impl Into<Bytes>) -> Response<Body> {
        self.send(self.legacy_request(body)).await.unwrap()
    }

    /// Opens a session with these capabilities of the client's.
    pub(crate) async fn initialize(mut self, capabilities: Value) -> Self {
        let response = self.post(initialize("2025-11-25", capabilities)).await;
        assert_eq!(response.status(), StatusCode::OK);
        self.session = Some(response.headers()["mcp-session-id"].to_str().unwrap().to_owned());
        let done = self.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(done.status(), StatusCode::ACCEPTED);
        self
    }

    /// Opens the session's stream.
    pub(crate) async fn listen(&self) -> Events {
        let mut request = self.legacy_request("");
        *request.method_mut() = Method::GET;
        let mut events = Events::of(self.send(request).await.unwrap());
        events.opened().await;
        events
    }

    /// One request in the session; the answer's message.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        message(self.post(body.to_string()).await).await
    }

    /// One request of a stateless client.
    pub(crate) fn stateless_request(&self, method: &str, params: Value) -> Request<Full<Bytes>> {
        let mut params = params;
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let body = json!({"jsonrpc": "2.0", "id": "x", "method": method, "params": params});
        let mut builder = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str);
        if let Some(name) = name {
            builder = builder.header("mcp-name", name);
        }
        builder.body(Full::new(body.to_string().into())).unwrap()
    }

    pub(crate) async fn stateless(&self, method: &str, params: Value) -> Value {
        message(self.send(self.stateless_request(method, params)).await.unwrap()).await
    }
}

pub(crate) fn initialize(version: &str, capabilities: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": capabilities,
        "clientInfo": {"name": "test", "version": "1"},
    }})
    .to_string()
}

pub(crate) async fn bytes(response: Response<Body>) -> Bytes {
    let collected = tokio::time::timeout(Duration::from_secs(30), response.into_body().collect()).await;
    collected.unwrap().unwrap().to_bytes()
}

/// The message of a JSON response.
pub(crate) async fn message(response: Response<Body>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&bytes(response).await).unwrap()
}

/// The messages of a stream, one by one.
pub(crate) struct Events {
    body: Body,
    text: String,
    ready: VecDeque<Value>,
}

impl Events {
    pub(crate) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new(), ready: VecDeque::new() }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let frame = tokio::time::timeout(Duration::from_secs(30), self.body.frame()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                if !data.is_empty() {
                    self.ready.push_back(serde_json::from_str(&data).unwrap());
                }
                self.text = rest.to_owned();
            }
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(300), self.next()).await.is_err()
    }

    /// Waits for the first bytes, which are a comment.
    pub(crate) async fn opened(&mut self) {
        let frame = self.body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.starts_with(b":"));
    }

    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
