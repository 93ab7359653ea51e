//! Clients of 2026-07-28.

use http::{HeaderValue, StatusCode};
use mcp_automation::protocol::ProtocolVersion;
use serde_json::json;

use crate::support::{Events, TestServer, bench, message};

fn one_and_two() -> Vec<TestServer> {
    vec![
        TestServer::new("one", ProtocolVersion::V2025_11_25, &["echo", "progress", "ask", "log"]),
        TestServer::new("two", ProtocolVersion::V2026_07_28, &["echo", "input"]),
    ]
}

#[tokio::test]
async fn discover_is_made_of_the_servers_handshakes() {
    let bench = bench(one_and_two());
    let result = &bench.ann().stateless("server/discover", json!({})).await["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["cacheScope"], "private");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "mcp-platform");
    assert_eq!(
        result["capabilities"],
        json!({"tools": {}, "resources": {"subscribe": true}, "prompts": {}, "completions": {}})
    );
    let one = bench.ann().at("/mcp/one").stateless("server/discover", json!({})).await;
    assert_eq!(one["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "one");
}

#[tokio::test]
async fn lists_and_calls_of_servers_of_both_eras() {
    let bench = bench(one_and_two());
    let client = bench.ann();
    let result = &client.stateless("tools/list", json!({})).await["result"];
    assert_eq!(result["tools"].as_array().unwrap().len(), 6);
    assert_eq!(result["cacheScope"], "private");
    assert_eq!(result["ttlMs"], 60_000);
    for name in ["one__echo", "two__echo"] {
        let answer = client.stateless("tools/call", json!({"name": name, "arguments": {"text": "hi"}})).await;
        assert_eq!(answer["id"], "x");
        assert_eq!(answer["result"]["content"][0]["text"], "hi");
        assert_eq!(answer["result"]["resultType"], "complete");
        assert_eq!(answer["result"].get("ttlMs"), None);
    }
    let answer = client.stateless("tools/call", json!({"name": "two__input"})).await;
    assert_eq!(answer["result"]["resultType"], "input_required");
    let read = client.stateless("resources/read", json!({"uri": "test://one/item/7"})).await;
    assert_eq!(read["result"]["contents"][0]["text"], "one");
    assert_eq!(read["result"]["cacheScope"], "private");
    assert_eq!(bench.gateway.sessions(), 0);
}

#[tokio::test]
async fn progress_streams_and_logs_come_only_when_asked_for() {
    let bench = bench(one_and_two());
    let client = bench.ann();
    let request = client.stateless_request("tools/call", json!({"name": "one__progress"}));
    assert_eq!(Events::of(client.send(request).await.unwrap()).rest().await.len(), 4);
    let answer = client.stateless("tools/call", json!({"name": "one__log"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "logged");
    let asked = json!({"name": "one__log", "_meta": {"io.modelcontextprotocol/logLevel": "warning"}});
    let events = Events::of(client.send(client.stateless_request("tools/call", asked)).await.unwrap());
    let events = events.rest().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["params"]["level"], "error");
    let answer = client.stateless("tools/call", json!({"name": "one__ask"})).await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().starts_with("not asked"));
}

#[tokio::test]
async fn headers_must_agree_with_the_body() {
    let bench = bench(one_and_two());
    let client = bench.ann();
    let cases: [(&'static str, Option<&'static str>); 7] = [
        ("mcp-method", None),
        ("mcp-method", Some("tools/list")),
        ("mcp-name", None),
        ("mcp-name", Some("one__progress")),
        ("mcp-name", Some("=?base64?!?=")),
        ("mcp-protocol-version", Some("2025-11-25")),
        ("mcp-protocol-version", None),
    ];
    for (name, value) in cases {
        let mut request =
            client.stateless_request("tools/call", json!({"name": "one__echo", "arguments": {}}));
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name} {value:?}");
        let answer = message(response).await;
        assert_eq!(answer["error"]["code"], -32020, "{name} {value:?}");
        assert_eq!(answer["id"], "x");
    }
    let mut request = client.stateless_request("tools/call", json!({"name": "one__echo", "arguments": {}}));
    request.headers_mut().insert("mcp-name", HeaderValue::from_static("=?base64?b25lX19lY2hv?="));
    assert_eq!(client.send(request).await.unwrap().status(), StatusCode::OK);
    let mut request = client.stateless_request("tools/list", json!({}));
    request.headers_mut().append("mcp-method", HeaderValue::from_static("tools/list"));
    assert_eq!(client.send(request).await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert!(bench.server("acme", "one").calls_of("tools/call").len() == 1);
}

#[tokio::test]
async fn an_unknown_version_is_told_the_known_ones() {
    let bench = bench(one_and_two());
    let client = bench.ann();
    let body = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {}}}});
    let mut request = client.legacy_request(body.to_string());
    request.headers_mut().insert("mcp-protocol-version", HeaderValue::from_static("2099-01-01"));
    request.headers_mut().insert("mcp-method", HeaderValue::from_static("tools/list"));
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let error = &message(response).await["error"];
    assert_eq!(error["code"], -32022);
    assert_eq!(error["data"], json!({"requested": "2099-01-01", "supported": ["2026-07-28"]}));
}

#[tokio::test]
async fn what_a_request_must_say_of_itself_is_required() {
    let bench = bench(one_and_two());
    let client = bench.ann();
    for meta in [
        json!({}),
        json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"}),
        json!({"io.modelcontextprotocol/protocolVersion": 7}),
        json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": null}),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"_meta": meta}});
        let mut request = client.legacy_request(body.to_string());
        request.headers_mut().insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
        request.headers_mut().insert("mcp-method", HeaderValue::from_static("tools/list"));
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(message(response).await["error"]["code"], -32602, "{body}");
    }
}

#[tokio::test]
async fn methods_of_the_versions_with_sessions_are_gone() {
    let bench = bench(one_and_two());
    let client = bench.ann();
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tools/destroy"] {
        let request = client.stateless_request(method, json!({}));
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
        assert_eq!(message(response).await["error"]["code"], -32601, "{method}");
    }
}
