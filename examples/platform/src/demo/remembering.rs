//! What the demo remembers: a conversation, some facts, and the events that tell of them.

use http::{Method, StatusCode};
use mcp_core::Result;
use serde_json::{Value, json};

use super::{expect, show::Show};
use crate::rest::RestClient;

/// The sentences that are remembered; the first is the one to be recalled.
const FACTS: [&str; 3] = [
    "The customer prefers deliveries on Friday afternoons.",
    "Invoices go to the accounting department in Lyon.",
    "The contract ends in March and is renewed by hand.",
];

/// A conversation and facts are stored, found again, and nobody else's.
pub(super) async fn show(show: &mut Show, acme: &RestClient, globex: &RestClient) -> Result<()> {
    show.step("store a conversation", conversation(acme, globex)).await?;
    show.step("remember facts, and recall one", facts(acme, globex)).await
}

async fn conversation(acme: &RestClient, globex: &RestClient) -> Result<((), String)> {
    let created = acme.post("/api/v1/contexts", &json!({ "session_id": "demo" })).await?;
    let path = format!("/api/v1/contexts/{}", created["context_id"].as_str().unwrap_or_default());
    let messages = [("user", "When does my order arrive?"), ("assistant", "On Friday.")];
    let messages = messages.map(|(role, content)| json!({ "role": role, "content": content }));
    let append = json!({ "messages": messages, "expected_version": 1 });
    acme.post(&format!("{path}/messages"), &append).await?;
    // The second of two that saw the same version.
    let stale = acme.send(Method::POST, &format!("{path}/messages"), &[], Some(&append)).await?;
    expect(stale.status == StatusCode::CONFLICT, || format!("{stale:?}"))?;

    let read = acme.get(&path).await?;
    let history = read["data"]["conversation_history"].as_array().map_or(0, Vec::len);
    expect(history == messages.len() && read["metadata"]["version"] == 2, || read.to_string())?;
    let foreign = globex.send(Method::GET, &path, &[], None).await?;
    expect(foreign.status == StatusCode::NOT_FOUND, || format!("{foreign:?}"))?;
    Ok(((), format!("{history} messages at version 2; a stale write got 409, globex 404")))
}

async fn facts(acme: &RestClient, globex: &RestClient) -> Result<((), String)> {
    for text in FACTS {
        acme.post("/api/v1/memories", &json!({ "namespace": "user/demo", "text": text })).await?;
    }
    let query =
        json!({ "namespace": "user/demo", "query": "on which day are deliveries preferred?", "limit": 1 });
    let found = acme.post("/api/v1/memories/recall", &query).await?;
    expect(found["items"][0]["text"] == FACTS[0], || found.to_string())?;
    let foreign = globex.post("/api/v1/memories/recall", &query).await?;
    expect(foreign["items"] == json!([]), || foreign.to_string())?;
    let how = if found["semantic"] == true { "by words and meaning" } else { "by words" };
    Ok(((), format!("{how}: {:?}; globex finds nothing", FACTS[0])))
}

/// The tenant's change feed, from its beginning.
pub(super) async fn feed(acme: &RestClient) -> Result<((), String)> {
    // Events are published after their change was committed: the feed may be a moment behind.
    let mut events = Vec::new();
    for _ in 0..100 {
        events = kinds(
            &acme
                .send(Method::GET, "/api/v1/events?limit=50", &[("accept", "application/json")], None)
                .await?
                .body,
        );
        if events.iter().any(|kind| kind.ends_with("context.updated")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    expect(events.iter().any(|kind| kind.ends_with("context.created")), || format!("{events:?}"))?;
    expect(events.iter().any(|kind| kind.ends_with("context.updated")), || format!("{events:?}"))?;
    Ok(((), events.join(", ")))
}

fn kinds(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = |item: &Value| item["event"]["type"].as_str().or(item["type"].as_str()).map(str::to_owned);
    items.iter().filter_map(kind).collect()
}
