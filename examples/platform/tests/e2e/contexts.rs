//! Contexts, memories and events through the whole platform: isolation, versions, limits, and `kill -9` while
//! many write.

use std::collections::HashMap;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::{Caller, metrics},
    bounded::within,
};

fn says(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_kept_versions_count_and_another_tenant_sees_nothing() {
    let mut served = Served::start(&json!({}), "");
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let (acme, globex) = (Caller::new(&served, &acme), Caller::new(&served, &globex));
    let id = acme.context().await;
    let path = format!("/contexts/{id}");
    let said = acme.post(&format!("{path}/messages"), &says("hello")).await;
    assert_eq!((said.status, said.json()["last_seq"].as_i64()), (StatusCode::CREATED, Some(1)), "{said:?}");
    let patch = |version: &str| {
        let body = json!({ "data": { "user_preferences": { "language": "de" } } });
        acme.attempt(Method::PATCH, &path).header("if-match", version).body(body.to_string())
    };
    let stale = patch("\"1\"").send().await;
    assert_eq!((stale.status, stale.json()["current_version"].as_i64()), (StatusCode::CONFLICT, Some(2)));
    assert_eq!(patch("\"2\"").send().await.status, StatusCode::OK);
    let read = acme.get(&path).await;
    let context = read.json();
    assert_eq!(read.headers["etag"], "\"3\"");
    assert_eq!(context["tenant_id"], "acme");
    assert_eq!(context["metadata"]["version"], 3);
    assert_eq!(context["data"]["conversation_history"][0]["content"], "hello");
    assert_eq!(context["data"]["user_preferences"]["language"], "de");

    let unknown = "/contexts/00000000-0000-7000-8000-000000000000";
    for suffix in ["", "/messages"] {
        let (theirs, none) =
            (globex.get(&format!("{path}{suffix}")).await, globex.get(&format!("{unknown}{suffix}")).await);
        assert_eq!(theirs.status, StatusCode::NOT_FOUND);
        assert_eq!(theirs.body, none.body, "another tenant's context is told from none");
    }
    let theirs = globex.post(&format!("{path}/messages"), &says("x")).await;
    assert_eq!(theirs.body, globex.post(&format!("{unknown}/messages"), &says("x")).await.body);
    assert_eq!(globex.get("/contexts").await.json()["items"], json!([]));

    for (body, field) in [
        (json!({ "mesages": [] }), "mesages"),
        (json!({ "messages": [{ "role": "user", "contents": "x" }] }), "contents"),
        (json!({ "messages": [] }), "messages"),
    ] {
        let refused = acme.post(&format!("{path}/messages"), &body).await;
        assert!(refused.status.is_client_error(), "{refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains(field), "{refused:?}");
    }
    let gone = acme.attempt(Method::DELETE, &path).header("if-match", "\"3\"").send().await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(acme.get(&path).await.status, StatusCode::NOT_FOUND);

    let metrics = metrics(&served).await;
    for (operation, outcome, count) in [
        ("create", "done", 1),
        ("append", "done", 1),
        ("patch", "done", 1),
        ("patch", "conflict", 1),
        ("delete", "done", 1),
    ] {
        let line =
            format!("mcp_context_changes_total{{operation=\"{operation}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("acme"), "a metric names a tenant");
    assert!(served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_as_many_contexts_as_its_limit_says() {
    let mut served = Served::start(&json!({}), "");
    served.command(&[
        "tenant",
        "create",
        "small",
        "--requests-per-minute",
        "1000",
        "--concurrent-contexts",
        "2",
    ]);
    let small = Caller::new(&served, &served.token("small"));
    let first = small.context().await;
    small.context().await;
    let refused = small.post("/contexts", &json!({})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    small.attempt(Method::DELETE, &format!("/contexts/{first}")).send().await;
    small.context().await;
    assert!(served.stop().success());
}

/// Every event of the tenant, oldest first.
async fn feed(caller: &Caller) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), "/events?limit=200".to_owned());
    loop {
        let page = caller.get(&path).await.json();
        all.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/events?limit=200&cursor={cursor}"),
            None => return all,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_every_acknowledged_append_is_there_once_and_so_is_its_event() {
    const WRITERS: usize = 64;
    let mut served = Served::start(&json!({}), "");
    let token = served.tenant("acme");
    let caller = Caller::new(&served, &token);
    let id = caller.context().await;
    let (acknowledged, mut acks) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (caller, path, acknowledged) =
            (caller.clone(), format!("/contexts/{id}/messages"), acknowledged.clone());
        writers.push(tokio::spawn(async move {
            for n in 0.. {
                let text = format!("{writer}-{n}");
                let answer = caller.post(&path, &says(&text)).await;
                assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
                acknowledged.send((text, answer.json()["first_seq"].as_i64().unwrap())).unwrap();
            }
        }));
    }
    drop(acknowledged);
    // In the midst of it: some are acknowledged, and all writers have one under way.
    let mut acked = HashMap::new();
    while acked.len() < 100 {
        let (text, seq) = within("an acknowledged message", acks.recv()).await.unwrap();
        acked.insert(text, seq);
    }
    served.kill();
    for writer in writers {
        // It ends with the connection.
        assert!(writer.await.is_err());
    }
    while let Some((text, seq)) = within("the last messages", acks.recv()).await {
        acked.insert(text, seq);
    }

    served.run();
    let caller = Caller::new(&served, &token);
    let mut stored = Vec::new();
    let mut path = format!("/contexts/{id}/messages?limit=200");
    loop {
        let page = caller.get(&path).await.json();
        for message in page["items"].as_array().unwrap() {
            stored.push((message["seq"].as_i64().unwrap(), message["content"].as_str().unwrap().to_owned()));
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/contexts/{id}/messages?limit=200&cursor={cursor}");
    }
    assert!((1..).zip(&stored).all(|(seq, (stored, _))| seq == *stored), "the numbers have gaps");
    for (text, seq) in &acked {
        let places: Vec<_> =
            stored.iter().filter(|(_, stored)| stored == text).map(|(seq, _)| *seq).collect();
        assert_eq!(places, [*seq], "{text} was acknowledged");
    }

    // What had been committed and not published is published by the process that lives.
    let began = std::time::Instant::now();
    let events = loop {
        let events = feed(&caller).await;
        if events.len() > stored.len() || began.elapsed() > std::time::Duration::from_secs(30) {
            break events;
        }
        tokio::task::yield_now().await;
    };
    let told: Vec<_> = events.iter().map(|item| item["event"]["data"]["version"].as_i64().unwrap()).collect();
    assert_eq!(told, (1..=stored.len() as i64 + 1).collect::<Vec<_>>(), "one event a version, in order");
    let positions: Vec<_> = events.iter().map(|item| item["position"].as_i64().unwrap()).collect();
    assert_eq!(positions, (1..=events.len() as i64).collect::<Vec<_>>());
    let metrics = metrics(&served).await;
    assert!(metrics.contains("mcp_events_published_total"), "{metrics}");
    assert!(served.stop().success());
}

/// A stream gives what comes, with ids to go on from.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_goes_on_from_the_last_event_and_ends_when_the_server_stops() {
    let mut served = Served::start(&json!({}), "");
    let token = served.tenant("acme");
    let caller = Caller::new(&served, &token);
    let id = caller.context().await;
    caller.post(&format!("/contexts/{id}/messages"), &says("hi")).await;
    let began = std::time::Instant::now();
    while feed(&caller).await.len() < 2 {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "the events are not published");
        tokio::task::yield_now().await;
    }
    let stream = caller.attempt(Method::GET, "/events").instead("accept", "text/event-stream");
    let response = stream.header("last-event-id", "1").open().await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let later = caller.post(&format!("/contexts/{id}/messages"), &says("later")).await;
    assert_eq!(later.status, StatusCode::CREATED);
    let mut text = String::new();
    while !text.contains("id: 3\n") {
        let frame = within("an event", body.frame()).await;
        let data = frame.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert!(text.contains("id: 2\nevent: com.mcp.tenant.context.updated\ndata: {"), "{text}");
    assert!(!text.contains("id: 1\n"), "{text}");
    assert!(served.stop().success());
    // The stream was ended, not cut.
    while let Some(frame) = within("the end of the stream", body.frame()).await {
        frame.unwrap();
    }
}
