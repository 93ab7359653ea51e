//! Clients with sessions.

use http::{Method, StatusCode};
use mcp_automation::{protocol::ProtocolVersion, upstream::Notice};
use serde_json::{Value, json};

use crate::support::{Events, TestServer, bench, bytes, initialize, message};

fn one_and_two() -> Vec<TestServer> {
    vec![
        TestServer::new(
            "one",
            ProtocolVersion::V2025_11_25,
            &["echo", "mirror", "wait", "progress", "ask", "log"],
        ),
        TestServer::new("two", ProtocolVersion::V2026_07_28, &["echo", "input"]),
    ]
}

#[tokio::test]
async fn every_version_with_sessions_is_agreed_to() {
    let bench = bench(one_and_two());
    for (asked, agreed) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let response = bench.ann().post(initialize(asked, json!({}))).await;
        assert_eq!(response.headers()["mcp-session-id"].len(), 32);
        let result = &message(response).await["result"];
        assert_eq!(result["protocolVersion"], agreed);
        assert_eq!(result["serverInfo"]["name"], "mcp-platform");
        assert_eq!(result["capabilities"]["tools"], json!({"listChanged": true}));
        assert_eq!(result["capabilities"]["resources"], json!({"subscribe": true}));
        assert!(result["instructions"].as_str().unwrap().contains("use one well"));
    }
    assert_eq!(bench.gateway.sessions(), 5);
}

#[tokio::test]
async fn tools_of_all_servers_are_listed_and_called() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    let listed = client.rpc("tools/list", json!({})).await;
    let names: Vec<&str> = listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "one__echo",
            "one__mirror",
            "one__wait",
            "one__progress",
            "one__ask",
            "one__log",
            "two__echo",
            "two__input"
        ]
    );
    assert_eq!(listed["result"].get("resultType"), None);

    let answer = client.rpc("tools/call", json!({"name": "two__echo", "arguments": {"text": "hello"}})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "hello");
    assert_eq!(bench.server("acme", "two").calls_of("tools/call").len(), 1);
    assert_eq!(bench.server("acme", "one").calls_of("tools/call").len(), 0);
}

#[tokio::test]
async fn a_call_needs_no_list_where_the_prefix_tells_the_owner() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    client.rpc("tools/call", json!({"name": "one__echo", "arguments": {}})).await;
    assert!(bench.server("acme", "one").calls_of("tools/list").is_empty());
}

#[tokio::test]
async fn one_server_alone_keeps_its_names_and_its_name() {
    let bench = bench(one_and_two());
    let client = bench.ann().at("/mcp/two").initialize(json!({})).await;
    let listed = client.rpc("tools/list", json!({})).await;
    assert_eq!(listed["result"]["tools"][0]["name"], "echo");
    let answer = client.rpc("tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "x");
    // The session is the endpoint's.
    let mut elsewhere = bench.ann();
    elsewhere.session = client.session.clone();
    assert_eq!(elsewhere.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await.status(), 404);
}

#[tokio::test]
async fn messages_before_the_answer_make_it_a_stream() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    let body = json!({"jsonrpc": "2.0", "id": "p", "method": "tools/call",
        "params": {"name": "one__progress", "_meta": {"progressToken": "tok"}}});
    let events = Events::of(client.post(body.to_string()).await).rest().await;
    let progress: Vec<Value> = events.iter().map(|event| event["params"]["progress"].clone()).collect();
    assert_eq!(progress[..3], [json!(1), json!(2), json!(3)]);
    assert_eq!(events[0]["params"]["progressToken"], "tok");
    assert_eq!(events[3]["id"], "p");
    assert_eq!(events[3]["result"]["content"][0]["text"], "done");
    assert_eq!(events.len(), 4);
}

#[tokio::test]
async fn a_server_asks_the_client_that_said_it_can_be_asked() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({"sampling": {}})).await;
    let body = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "one__ask"}});
    let mut events = Events::of(client.post(body.to_string()).await);
    let question = events.next().await.unwrap();
    assert_eq!(question["method"], "sampling/createMessage");
    assert_eq!(question["params"]["maxTokens"], 5);

    // Another principal's session cannot answer it.
    let stranger = bench.client("acme", "bob", &["*"]).initialize(json!({"sampling": {}})).await;
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"text": "hi"}}).to_string();
    assert_eq!(stranger.post(reply.clone()).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(client.post(reply.clone()).await.status(), StatusCode::ACCEPTED);
    let answer = events.next().await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], r#"the client said {"text":"hi"}"#);
    // The question is answered once.
    assert_eq!(client.post(reply).await.status(), StatusCode::BAD_REQUEST);

    let unable = bench.ann().initialize(json!({})).await;
    let answer = unable.rpc("tools/call", json!({"name": "one__ask"})).await;
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().starts_with("not asked"));
}

#[tokio::test]
async fn cancelling_and_leaving_both_end_the_call_at_the_server() {
    let bench = bench(one_and_two());
    let server = bench.server("acme", "one");
    let client = bench.ann().initialize(json!({})).await;
    let body = r#"{"jsonrpc":"2.0","id":"c1","method":"tools/call","params":{"name":"one__wait"}}"#;

    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.post(body).await }
    });
    server.begun.notified().await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c1"}}"#;
    assert_eq!(client.post(cancel).await.status(), StatusCode::ACCEPTED);
    server.cancelled.notified().await;
    assert_eq!(message(calling.await.unwrap()).await["error"]["data"]["code"], "cancelled");

    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.post(body).await }
    });
    server.begun.notified().await;
    calling.abort();
    server.cancelled.notified().await;
}

#[tokio::test]
async fn leaving_a_stream_ends_the_call_at_the_server() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({"sampling": {}})).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__ask"}}"#;
    let mut events = Events::of(client.post(body).await);
    events.next().await.unwrap();
    drop(events);
    bench.server("acme", "one").cancelled.notified().await;
}

#[tokio::test]
async fn log_messages_below_the_sessions_level_are_held_back() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    assert_eq!(client.rpc("logging/setLevel", json!({"level": "error"})).await["result"], json!({}));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "one__log"}});
    let events = Events::of(client.post(body.to_string()).await).rest().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["params"]["level"], "error");
    assert_eq!(client.rpc("logging/setLevel", json!({"level": "loud"})).await["error"]["code"], -32602);
    // Others share the connection, and want to hear what this session does not.
    let told = bench.server("acme", "one").calls_of("logging/setLevel");
    assert_eq!(told, [Some(r#"{"level":"debug"}"#.to_owned())]);
}

#[tokio::test]
async fn a_session_is_nobody_elses_and_ends_when_told() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut unknown = bench.ann();
    unknown.session = Some("0".repeat(32));
    let expected = bytes(unknown.post(ping).await).await;
    for (tenant, principal) in [("umbrella", "ann"), ("acme", "bob")] {
        let mut thief = bench.client(tenant, principal, &["*"]);
        thief.session = client.session.clone();
        let response = thief.post(ping).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(bytes(response).await, expected);
        let mut request = thief.legacy_request("");
        *request.method_mut() = Method::DELETE;
        assert_eq!(thief.send(request).await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(client.rpc("ping", json!({})).await["result"], json!({}));
    let mut request = client.legacy_request("");
    *request.method_mut() = Method::DELETE;
    assert_eq!(client.send(request).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(client.post(ping).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bench.gateway.sessions(), 0);
}

#[tokio::test]
async fn an_unused_session_ends() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    bench.clock.advance(std::time::Duration::from_secs(30 * 60));
    assert_eq!(
        client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_server_that_never_stops_asking_is_an_error() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    let answer = client.rpc("tools/call", json!({"name": "two__input"})).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("goes on asking"), "{answer}");
    let calls = bench.server("acme", "two").calls_of("tools/call");
    assert_eq!(calls.len(), 17);
    assert!(calls.last().unwrap().as_deref().unwrap().contains(r#""inputResponses":{},"requestState":"s""#));
}

fn get(client: &crate::support::Client) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = client.legacy_request("");
    *request.method_mut() = Method::GET;
    request
}

#[tokio::test]
async fn what_servers_say_outside_of_calls_comes_by_get() {
    let bench = bench(one_and_two());
    let client = bench.ann().initialize(json!({})).await;
    let mut stream = Events::of(client.send(get(&client)).await.unwrap());
    stream.opened().await;
    let upstream = bench.server("acme", "one");
    upstream.heard_by(1).await;
    upstream.change_tools(&["echo"]);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");

    // A server that comes back is another; it is heard again after a list.
    drop(upstream);
    bench.add("acme", one_and_two());
    for _ in 0..6 {
        assert!(stream.next().await.unwrap()["method"].as_str().unwrap().ends_with("/list_changed"));
    }
    client.rpc("tools/list", json!({})).await;
    let upstream = bench.server("acme", "two");
    // One for the list that is kept, one for the stream.
    upstream.heard_by(2).await;
    upstream.change_tools(&["new"]);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");

    let mut request = client.legacy_request("");
    *request.method_mut() = Method::DELETE;
    client.send(request).await.unwrap();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn what_a_server_logs_outside_of_a_call_is_not_told_to_every_session() {
    let bench = bench(one_and_two());
    let bob = bench.client("acme", "bob", &["*"]).initialize(json!({})).await;
    let mut stream = Events::of(bob.send(get(&bob)).await.unwrap());
    stream.opened().await;
    let upstream = bench.server("acme", "one");
    upstream.heard_by(1).await;
    let params =
        serde_json::value::to_raw_value(&json!({"level": "error", "data": "of Ann's call"})).unwrap();
    let logged = Notice { method: "notifications/message".into(), params: Some(params.into()) };
    upstream.notices.send(logged).unwrap();
    upstream.change_tools(&["echo"]);
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_stream_needs_a_session_and_does_not_keep_it() {
    let bench = bench(one_and_two());
    assert_eq!(bench.ann().send(get(&bench.ann())).await.unwrap().status(), StatusCode::BAD_REQUEST);
    let client = bench.ann().initialize(json!({})).await;
    let stream = Events::of(client.send(get(&client)).await.unwrap());
    bench.clock.advance(std::time::Duration::from_secs(31 * 60));
    bench.ann().initialize(json!({})).await;
    assert!(stream.rest().await.is_empty());
    assert_eq!(bench.gateway.sessions(), 1);
}
