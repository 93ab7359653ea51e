//! What must be refused, and how.

use std::{convert::Infallible, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use mcp_automation::{
    gateway::{GatewayConfig, SessionConfig},
    protocol::{ProtocolVersion, ServerName},
};
use mcp_core::{ErrorKind, audit::Chain, error::Detail};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{TestServer, bench, bench_with, bytes, initialize, message};

fn one() -> Vec<TestServer> {
    vec![TestServer::new("one", ProtocolVersion::V2025_11_25, &["echo", "crash", "wait", "progress"])]
}

#[tokio::test]
async fn a_request_without_a_scope_is_a_defect_not_a_default() {
    let bench = bench(one());
    let request = Request::post("/mcp").body(Full::new(bytes::Bytes::new())).unwrap();
    let error = bench.gateway.clone().oneshot(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn what_is_no_message_gets_the_code_of_the_specification() {
    let bench = bench(one());
    let client = bench.ann().initialize(json!({})).await;
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{0}\u{1}", -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"id":1,"method":"ping"}"#, -32600),
        (r#""ping""#, -32600),
    ] {
        let response = client.post(body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let answer = message(response).await;
        assert_eq!(answer["error"]["code"], code, "{body}");
        assert!(answer["id"].is_null());
    }
}

#[tokio::test]
async fn unknown_methods_and_bad_parameters_are_told_apart() {
    let bench = bench(one());
    let client = bench.ann().initialize(json!({})).await;
    for (method, params, code) in [
        ("tools/destroy", json!({}), -32601),
        ("server/discovery", json!({}), -32601),
        ("resources/subscribe", json!({"uri": "test://nowhere"}), -32002),
        ("resources/subscribe", json!({"uri": ["test://one/static"]}), -32602),
        ("resources/unsubscribe", json!({"uri": "test://nowhere"}), -32002),
        ("subscriptions/listen", json!({"notifications": {}}), -32601),
        ("tools/call", json!({}), -32602),
        ("tools/call", json!({"name": 7}), -32602),
        ("tools/call", json!([]), -32602),
        ("resources/read", json!({}), -32602),
        ("resources/read", json!({"uri": "test://nowhere"}), -32002),
        ("prompts/get", json!({"name": "one__nothing__at_all"}), 0),
        ("completion/complete", json!({"ref": {"type": "ref/tool", "name": "x"}}), -32602),
        ("tools/list", json!({"cursor": "AAAA"}), -32602),
        ("tools/list", json!({"cursor": 7}), -32602),
    ] {
        let answer = client.rpc(method, params.clone()).await;
        // The test server knows every prompt.
        let expected = if code == 0 { Value::Null } else { json!(code) };
        assert_eq!(answer["error"]["code"], expected, "{method} {params}: {answer}");
    }
    let doubled =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__echo","name":"one__crash"}}"#;
    assert_eq!(message(client.post(doubled).await).await["error"]["code"], -32602);
}

#[tokio::test]
async fn an_unknown_tool_is_answered_with_the_nearest_names() {
    let bench = bench(one());
    let client = bench.ann().initialize(json!({})).await;
    for (name, nearest) in [("one__ecko", "one__echo"), ("onee__echo", "one__echo"), ("echo", "one__echo")] {
        let error = &client.rpc("tools/call", json!({"name": name})).await["error"];
        assert_eq!(error["code"], -32602, "{name}");
        assert_eq!(error["message"], format!("unknown tool: {name}"));
        assert_eq!(error["data"]["nearest"][0], nearest, "{name}");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused() {
    let config = GatewayConfig { body_limit: 300, ..GatewayConfig::default() };
    let bench = bench_with(config, one());
    let client = bench.ann();
    let error = client.send(client.legacy_request("x".repeat(301))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.details(), [Detail::Limit { bytes: 300 }]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let bench = bench(one());
    let client = bench.ann();
    let (parts, _) = client.legacy_request("").into_parts();
    let begun = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{")))]);
    let body = StreamBody::new(begun.chain(futures_util::stream::pending()));
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(client.scope.clone());
    let answer = tokio::time::timeout(Duration::from_secs(61), bench.gateway.clone().oneshot(request));
    assert_eq!(answer.await.unwrap().unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test]
async fn wrong_methods_types_paths_and_origins() {
    let bench = bench(one());
    let client = bench.ann().initialize(json!({})).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let with = |name: &'static str, value: &'static str| {
        let mut request = client.legacy_request(ping);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    };
    for (name, value, status) in [
        ("content-type", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("accept", "text/html", StatusCode::NOT_ACCEPTABLE),
        ("mcp-protocol-version", "1999-01-01", StatusCode::BAD_REQUEST),
        ("mcp-session-id", "nonsense", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(client.send(with(name, value)).await.unwrap().status(), status, "{name}");
    }
    let mut request = client.legacy_request(ping);
    *request.method_mut() = Method::PUT;
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(response.headers().contains_key("allow"));
    let error = client.send(with("origin", "https://evil.example")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let lost = client.clone().at("/mcp/one/two");
    assert_eq!(lost.send(lost.legacy_request(ping)).await.unwrap_err().kind(), ErrorKind::NotFound);
    let sessionless = bench.ann();
    assert_eq!(sessionless.post(ping).await.status(), StatusCode::BAD_REQUEST);
    let elsewhere = bench.ann().at("/mcp/nobody");
    let answer = message(elsewhere.post(initialize("2025-11-25", json!({}))).await).await;
    assert_eq!(answer["error"]["data"]["server"], "nobody");
}

#[tokio::test]
async fn what_a_principal_may_not_do_is_refused_and_audited() {
    let bench = bench(one());
    let client = bench.client("acme", "bob", &["tools:list"]).initialize(json!({})).await;
    assert!(client.rpc("tools/list", json!({})).await["result"]["tools"].is_array());
    for (method, params, permission) in [
        ("tools/call", json!({"name": "one__echo"}), "tools:call"),
        ("resources/list", json!({}), "resources:list"),
        ("resources/templates/list", json!({}), "resources:list"),
        ("resources/read", json!({"uri": "test://one/static"}), "resources:read"),
        ("prompts/list", json!({}), "prompts:list"),
        ("prompts/get", json!({"name": "one__greet"}), "prompts:get"),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "one__greet"}}), "prompts:get"),
        ("completion/complete", json!({"ref": {"type": "ref/resource", "uri": "x"}}), "resources:read"),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = client.post(body.to_string()).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.contains("insufficient_scope") && challenge.contains(permission), "{challenge}");
        let error = &message(response).await["error"];
        assert_eq!(error["data"]["missingScope"], permission);
        let (chain, record) = bench.denials.0.lock().unwrap().pop().unwrap();
        assert!(matches!(chain, Chain::Tenant(tenant) if tenant.as_str() == "acme"));
        assert_eq!(record.actor, "bob");
        assert_eq!(record.resource, format!("permission/{permission}"));
    }
    assert!(bench.server("acme", "one").calls_of("tools/call").is_empty());
}

#[tokio::test]
async fn a_server_that_fails_is_named_and_its_secrets_are_not_told() {
    let bench = bench(one());
    bench.fleet.down.lock().unwrap().push(ServerName::parse("two").unwrap());
    let client = bench.ann().initialize(json!({})).await;
    let text = bytes(
        client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__crash"}}"#).await,
    )
    .await;
    let answer: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(answer["error"]["data"], json!({"code": "upstream", "server": "one"}));
    assert!(!String::from_utf8_lossy(&text).contains("internal detail"));
    let answer = client.rpc("tools/call", json!({"name": "two__x"})).await;
    assert_eq!(answer["error"]["data"]["server"], "two");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up_at_the_deadline() {
    let bench = bench(one());
    let client = bench.ann().initialize(json!({})).await;
    let server = bench.server("acme", "one");
    server.hangs.store(true, Ordering::SeqCst);
    let mut hurried = client.clone();
    hurried.scope = hurried.scope.with_deadline(std::time::Instant::now() + Duration::from_millis(50));
    let answer = hurried.rpc("tools/call", json!({"name": "one__echo"})).await;
    assert_eq!(answer["error"]["data"], json!({"code": "deadline_exceeded", "server": "one"}));
    server.cancelled.notified().await;
    assert_eq!(server.in_flight.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn calls_and_streams_of_a_session_are_bounded() {
    let sessions = SessionConfig { calls_per_session: 2, streams_per_session: 1, ..SessionConfig::default() };
    let config = GatewayConfig { sessions, ..GatewayConfig::default() };
    let bench = bench_with(config, one());
    let server = bench.server("acme", "one");
    let client = bench.ann().initialize(json!({})).await;
    let call = |id: u32, tool: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool}}).to_string()
    };
    let waiting = tokio::spawn({
        let (client, body) = (client.clone(), call(1, "one__wait"));
        async move { client.post(body).await }
    });
    server.begun.notified().await;
    let again = message(client.post(call(1, "one__echo")).await).await;
    assert_eq!(again["error"]["data"]["code"], "conflict");

    let also_waiting = tokio::spawn({
        let (client, body) = (client.clone(), call(2, "one__wait"));
        async move { client.post(body).await }
    });
    server.begun.notified().await;
    let third = message(client.post(call(3, "one__echo")).await).await;
    assert_eq!(third["error"]["data"]["code"], "rate_limited");
    for call in [waiting, also_waiting] {
        server.release.notify_one();
        assert!(message(call.await.unwrap()).await["result"].is_object());
    }

    let held = client.post(call(5, "one__progress")).await;
    assert_eq!(held.headers()["content-type"], "text/event-stream");
    let second_stream = message(client.post(call(4, "one__progress")).await).await;
    assert_eq!(second_stream["error"]["data"]["code"], "rate_limited");
}
