//! MCP requests to the gateway without a socket: stateless ones of 2026-07-28, which need no session.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use mcp_automation::{gateway::Gateway, jsonrpc::code, protocol::ProtocolVersion};
use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::client::message_in;

/// The value of `Host`.
pub(super) const HOST: &str = "localhost";
/// Longest answer in bytes: what a server's message may be, and a little around it.
const MAX_ANSWER: usize = 17 << 20;
/// Pages of a list, each of which has `gateway.page_size` items.
const MAX_PAGES: usize = 1_000;

/// Every tool.
pub(super) async fn list(gateway: Gateway, scope: Scope) -> Result<Vec<Value>> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let params = cursor.map_or_else(|| json!({}), |cursor: Value| json!({ "cursor": cursor }));
        let mut page = request(&gateway, &scope, "tools/list", None, params).await?;
        if let Some(Value::Array(items)) = page.get_mut("tools").map(Value::take) {
            tools.extend(items);
        }
        match page.get_mut("nextCursor").map(Value::take) {
            Some(next @ Value::String(_)) => cursor = Some(next),
            _ => return Ok(tools),
        }
    }
    Err(Error::new(ErrorKind::TooLarge, "embedded.list_tools", "there are too many tools to list at once"))
}

/// Calls one tool.
pub(super) async fn call(gateway: Gateway, scope: Scope, name: &str, arguments: Value) -> Result<Value> {
    if !arguments.is_object() {
        let error = Error::invalid_input("embedded.call_tool", "`arguments` must be an object");
        return Err(error.with_detail(Detail::Field { path: "arguments".to_owned(), nearest: None }));
    }
    let params = json!({ "name": name, "arguments": arguments });
    let mut result = request(&gateway, &scope, "tools/call", Some(name), params).await?;
    if result["resultType"] == "input_required" {
        let message =
            format!("the tool `{name}` asks its caller for input, which a call like this cannot give");
        return Err(Error::new(ErrorKind::Unsupported, "embedded.call_tool", message));
    }
    if let Some(members) = result.as_object_mut() {
        // Says how to read the rest on the wire; by now that is done.
        members.remove("resultType");
    }
    Ok(result)
}

async fn request(
    gateway: &Gateway,
    scope: &Scope,
    method: &'static str,
    name: Option<&str>,
    mut params: Value,
) -> Result<Value> {
    let version = ProtocolVersion::LATEST.as_str();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": { "name": "mcp-platform", "version": env!("CARGO_PKG_VERSION") },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/mcp")
        .header(header::HOST, HOST)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", version)
        .header("mcp-method", method);
    if let Some(name) = name {
        // The coded form holds any text.
        request = request.header("mcp-name", format!("=?base64?{}?=", STANDARD.encode(name)));
    }
    let broken = |error: String| Error::internal("embedded.mcp", error);
    let request = request.extension(scope.clone()).body(Full::<Bytes>::from(message.to_string()));
    let response = gateway.clone().oneshot(request.map_err(|error| broken(error.to_string()))?).await?;
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let mut answer = message_in(&body.map_err(|error| broken(error.to_string()))?.to_bytes());
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(error_of(&answer["error"])),
    }
}

/// The error that a JSON-RPC error stands for: one of our own by its name, a server's by its code.
fn error_of(fault: &Value) -> Error {
    let data = &fault["data"];
    let named = ErrorKind::ALL.into_iter().find(|kind| data["code"] == kind.as_str());
    let kind = named.unwrap_or_else(|| match fault["code"].as_i64() {
        Some(code::INVALID_PARAMS) => ErrorKind::InvalidInput,
        Some(code::METHOD_NOT_FOUND) => ErrorKind::Unsupported,
        _ => ErrorKind::Upstream,
    });
    let message = fault["message"].as_str().unwrap_or("the answer is neither result nor error").to_owned();
    let server = data["server"].as_str().map(|name| Detail::Server { name: name.to_owned() });
    let missing = ["tools:list", "tools:call"].into_iter().find(|known| data["missingScope"] == *known);
    let wait = data["retryAfter"].as_f64().and_then(|wait| Duration::try_from_secs_f64(wait).ok());
    let details = server.into_iter().chain(missing.map(|scope| Detail::MissingScope { scope }));
    let details = details.chain(wait.map(Detail::RetryAfter));
    details.fold(Error::new(kind, "embedded.mcp", message), Error::with_detail)
}
