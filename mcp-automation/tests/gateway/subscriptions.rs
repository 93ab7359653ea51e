//! Who hears of updates of resources, and what the servers are told.

use std::time::Duration;

use http::{Method, StatusCode};
use mcp_automation::{
    fleet::ServerSpec,
    gateway::{GatewayConfig, SessionConfig},
    protocol::ProtocolVersion,
};
use serde_json::{Value, json};

use crate::{
    fleet_support::{python, with_env},
    real::{Real, both_eras},
    support::{Bench, Client, Events, TestServer, bench, bench_with, message},
};

const STATIC: &str = "test://one/static";
const UPDATED: &str = "notifications/resources/updated";

fn one() -> Vec<TestServer> {
    vec![TestServer::new("one", ProtocolVersion::V2025_11_25, &["echo"])]
}

async fn session(bench: &Bench, principal: &str) -> Client {
    bench.client("acme", principal, &["*"]).initialize(json!({})).await
}

async fn subscribe(client: &Client, uri: &str) -> Value {
    client.rpc("resources/subscribe", json!({ "uri": uri })).await
}

fn is_update_of(event: &Value, uri: &str) {
    assert_eq!((&event["method"], &event["params"]["uri"]), (&json!(UPDATED), &json!(uri)), "{event}");
}

#[tokio::test]
async fn only_who_subscribed_hears_and_the_last_to_leave_tells_the_server() {
    let bench = bench(one());
    let server = bench.server("acme", "one");
    let [ann, bob, eve] =
        [session(&bench, "ann").await, session(&bench, "bob").await, session(&bench, "eve").await];
    let [mut to_ann, mut to_bob, mut to_eve] = [ann.listen().await, bob.listen().await, eve.listen().await];
    assert_eq!(subscribe(&ann, STATIC).await["result"], json!({}));
    server.update(STATIC);
    is_update_of(&to_ann.next().await.unwrap(), STATIC);
    assert!(to_bob.is_silent().await && to_eve.is_silent().await);

    // One of a server's own making, that nobody subscribed to.
    server.update("test://one/item/7");
    for client in [&ann, &bob] {
        assert_eq!(subscribe(client, STATIC).await["result"], json!({}));
    }
    assert_eq!(server.calls_of("resources/subscribe").len(), 1, "the server is asked once");
    server.update(STATIC);
    is_update_of(&to_ann.next().await.unwrap(), STATIC);
    is_update_of(&to_bob.next().await.unwrap(), STATIC);

    let gone = ann.rpc("resources/unsubscribe", json!({"uri": STATIC})).await;
    assert_eq!(gone["result"], json!({}));
    server.update(STATIC);
    is_update_of(&to_bob.next().await.unwrap(), STATIC);
    assert!(to_ann.is_silent().await && to_eve.is_silent().await);
    assert_eq!(server.calls_of("resources/unsubscribe").len(), 0);
    bob.rpc("resources/unsubscribe", json!({"uri": STATIC})).await;
    server.called("resources/unsubscribe", 1).await;
    server.update(STATIC);
    assert!(to_bob.is_silent().await);
}

#[tokio::test]
async fn an_update_waits_for_the_stream_and_another_tenant_hears_nothing() {
    let bench = bench(one());
    bench.add("umbrella", one());
    let ann = session(&bench, "ann").await;
    let other = bench.client("umbrella", "ann", &["*"]).initialize(json!({})).await;
    let mut to_other = other.listen().await;
    subscribe(&ann, STATIC).await;
    subscribe(&other, STATIC).await;
    for _ in 0..3 {
        bench.server("acme", "one").update(STATIC);
    }
    assert!(to_other.is_silent().await);
    let mut to_ann = ann.listen().await;
    is_update_of(&to_ann.next().await.unwrap(), STATIC);
    assert!(to_ann.is_silent().await, "three that nobody took are one");
}

#[tokio::test]
async fn the_end_of_a_session_unsubscribes() {
    let bench = bench(one());
    let server = bench.server("acme", "one");
    let ann = session(&bench, "ann").await;
    subscribe(&ann, STATIC).await;
    let mut request = ann.legacy_request("");
    *request.method_mut() = Method::DELETE;
    assert_eq!(ann.send(request).await.unwrap().status(), StatusCode::NO_CONTENT);
    server.called("resources/unsubscribe", 1).await;
    assert_eq!(bench.gateway.sessions(), 0);

    // A session that nobody uses: found out by the next that comes.
    let bob = session(&bench, "bob").await;
    subscribe(&bob, STATIC).await;
    bench.clock.advance(SessionConfig::default().idle);
    session(&bench, "eve").await;
    server.called("resources/unsubscribe", 2).await;
}

#[tokio::test]
async fn what_one_client_and_one_uri_may_take_is_bounded() {
    let sessions = SessionConfig { subscriptions_per_session: 2, ..SessionConfig::default() };
    let bench = bench_with(GatewayConfig { sessions, ..GatewayConfig::default() }, one());
    let ann = session(&bench, "ann").await;
    let item = |n: u32| format!("test://one/item/{n}");
    for n in [1, 2, 2, 1] {
        assert_eq!(subscribe(&ann, &item(n)).await["result"], json!({}));
    }
    let refused = subscribe(&ann, &item(3)).await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("more than 2 subscriptions"));
    ann.rpc("resources/unsubscribe", json!({"uri": item(1)})).await;
    assert_eq!(subscribe(&ann, &item(3)).await["result"], json!({}));
    assert_eq!(subscribe(&session(&bench, "bob").await, &item(4)).await["result"], json!({}));

    let long = format!("test://one/item/{}", "x".repeat(3_000));
    assert_eq!(subscribe(&session(&bench, "eve").await, &long).await["error"]["code"], -32602);
    let uris = json!([item(1), item(2), item(3)]);
    let listen = json!({"notifications": {"resourceSubscriptions": uris}});
    assert_eq!(bench.ann().stateless("subscriptions/listen", listen).await["error"]["code"], -32602);
}

#[tokio::test]
async fn who_may_not_read_may_not_subscribe() {
    let bench = bench(one());
    let eve = bench.client("acme", "eve", &["tools:call"]);
    let session = eve.clone().initialize(json!({})).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": STATIC}});
    assert_eq!(session.post(body.to_string()).await.status(), StatusCode::FORBIDDEN);
    let listen = json!({"notifications": {"resourceSubscriptions": [STATIC]}});
    let response = eve.send(eve.stateless_request("subscriptions/listen", listen)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(message(response).await["id"], "x");
    assert_eq!(bench.denials.0.lock().unwrap().len(), 2);
    assert_eq!(bench.server("acme", "one").calls_of("resources/subscribe").len(), 0);
}

async fn listen(client: &Client, uris: &[&str]) -> (Events, Value) {
    let params = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": uris}});
    let response = client.send(client.stateless_request("subscriptions/listen", params)).await.unwrap();
    let mut events = Events::of(response);
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "x");
    (events, first["params"]["notifications"].clone())
}

#[tokio::test]
async fn a_stateless_client_listens_to_a_server_with_sessions() {
    let bench = bench(one());
    let server = bench.server("acme", "one");
    let (mut to_ann, accepted) = listen(&bench.ann(), &[STATIC, "test://nowhere"]).await;
    assert_eq!(accepted, json!({"resourceSubscriptions": [STATIC]}));
    let (mut to_bob, accepted) = listen(&bench.client("acme", "bob", &["*"]), &[]).await;
    assert_eq!(accepted, json!({"resourceSubscriptions": []}));
    server.update(STATIC);
    let told = to_ann.next().await.unwrap();
    is_update_of(&told, STATIC);
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "x");
    assert!(to_bob.is_silent().await);
    drop(to_ann);
    server.called("resources/unsubscribe", 1).await;

    bench.gateway.drain(Duration::from_secs(5)).await;
    let last = to_bob.rest().await;
    assert_eq!(last.len(), 1);
    assert_eq!((&last[0]["id"], &last[0]["result"]["resultType"]), (&json!("x"), &json!("complete")));
}

#[tokio::test]
async fn a_server_that_tells_of_nothing_says_so() {
    let real = Real::over(vec![python("py", "legacy")], Vec::new(), GatewayConfig::default());
    let client = real.client("acme").at("/mcp/py").initialize(json!({})).await;
    let refused = subscribe(&client, "test://a").await;
    assert_eq!(refused["error"]["code"], -32601, "{refused}");
    assert_eq!(refused["error"]["data"]["server"], "py");
    real.end().await;
}

fn watched(mode: &str) -> ServerSpec {
    with_env(python("py", mode), "WATCHED", "1")
}

async fn tool(client: &Client, name: &str, arguments: Value) -> Value {
    client.stateless("tools/call", json!({"name": name, "arguments": arguments})).await
}

/// Waits until the process itself says that it is watched for these.
async fn until_watched(client: &Client, uris: &[&str]) {
    let settled = async {
        while tool(client, "watched", json!({})).await["result"]["watched"] != json!(uris) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();
}

#[tokio::test]
async fn processes_of_both_eras_tell_clients_of_both_eras_and_do_so_after_a_restart() {
    for mode in ["legacy", "modern"] {
        let real = Real::over(vec![watched(mode)], Vec::new(), GatewayConfig::default());
        let stateless = real.client("acme").at("/mcp/py");
        let session = stateless.clone().initialize(json!({})).await;
        let mut to_session = session.listen().await;
        assert_eq!(subscribe(&session, "test://a").await["result"], json!({}), "{mode}");
        let (mut to_stateless, accepted) = listen(&stateless, &["test://b"]).await;
        assert_eq!(accepted, json!({"resourceSubscriptions": ["test://b"]}), "{mode}");
        until_watched(&stateless, &["test://a", "test://b"]).await;

        tool(&stateless, "touch", json!({"uri": "test://a"})).await;
        is_update_of(&to_session.next().await.unwrap(), "test://a");
        tool(&stateless, "touch", json!({"uri": "test://b"})).await;
        is_update_of(&to_stateless.next().await.unwrap(), "test://b");

        tool(&stateless, "crash", json!({})).await;
        // Both may have missed something, and are told to look.
        let next_update = async |events: &mut Events| loop {
            let event = events.next().await.unwrap();
            if event["method"] == UPDATED {
                return event;
            }
        };
        is_update_of(&next_update(&mut to_session).await, "test://a");
        is_update_of(&next_update(&mut to_stateless).await, "test://b");
        until_watched(&stateless, &["test://a", "test://b"]).await;
        tool(&stateless, "touch", json!({"uri": "test://a"})).await;
        is_update_of(&next_update(&mut to_session).await, "test://a");
        assert!(to_stateless.is_silent().await, "{mode}");

        drop(to_stateless);
        until_watched(&stateless, &["test://a"]).await;
        session.rpc("resources/unsubscribe", json!({"uri": "test://a"})).await;
        until_watched(&stateless, &[]).await;
        real.end().await;
    }
}

#[tokio::test]
async fn servers_of_both_eras_over_http_tell_clients_of_both_eras() {
    let real = both_eras().await;
    let uri = "test://watched-resource";
    for server in ["old", "new"] {
        let stateless = real.client("acme").at(&format!("/mcp/{server}"));
        let session = stateless.clone().initialize(json!({})).await;
        let mut to_session = session.listen().await;
        assert_eq!(subscribe(&session, uri).await["result"], json!({}), "{server}");
        let (mut to_stateless, accepted) = listen(&stateless, &[uri]).await;
        assert_eq!(accepted, json!({"resourceSubscriptions": [uri]}), "{server}");
        let touched = tool(&stateless, "test_trigger_resource_change", json!({})).await;
        assert!(touched["result"].is_object(), "{touched}");
        is_update_of(&to_session.next().await.unwrap(), uri);
        is_update_of(&to_stateless.next().await.unwrap(), uri);
        let gone = session.rpc("resources/unsubscribe", json!({"uri": uri})).await;
        assert_eq!(gone["result"], json!({}), "{server}");
        let refused = subscribe(&session, "test://nowhere").await;
        assert!(refused["error"]["code"].is_i64(), "{refused}");
    }
    real.end().await;
}
