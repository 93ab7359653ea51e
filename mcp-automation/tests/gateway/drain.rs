//! Stopping.

use std::time::Duration;

use mcp_automation::protocol::ProtocolVersion;
use mcp_core::ErrorKind;
use serde_json::json;

use crate::support::{Events, TestServer, bench, message};

#[tokio::test]
async fn calls_in_flight_end_well_and_no_more_begin() {
    let bench = bench(vec![TestServer::new("one", ProtocolVersion::V2025_11_25, &["wait"])]);
    let server = bench.server("acme", "one");
    let client = bench.ann().initialize(json!({})).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__wait"}}"#;
    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.post(body).await }
    });
    server.begun.notified().await;
    let draining = tokio::spawn({
        let gateway = bench.gateway.clone();
        async move { gateway.drain(Duration::from_secs(30)).await }
    });
    let refused = loop {
        match client.send(client.legacy_request(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#)).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    server.release.notify_one();
    assert_eq!(message(calling.await.unwrap()).await["result"]["content"][0]["text"], "released");
    assert_eq!(draining.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_cut_off_with_a_clear_end() {
    let bench = bench(vec![TestServer::new("one", ProtocolVersion::V2025_11_25, &["ask"])]);
    let server = bench.server("acme", "one");
    let client = bench.ann().initialize(json!({"sampling": {}})).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one__ask"}}"#;
    let mut events = Events::of(client.post(body).await);
    assert_eq!(events.next().await.unwrap()["method"], "sampling/createMessage");
    assert_eq!(bench.gateway.drain(Duration::from_secs(1)).await, 1);
    server.cancelled.notified().await;
    let end = events.next().await.unwrap();
    assert_eq!(end["error"]["data"]["code"], "cancelled");
    assert!(events.next().await.is_none());
}
