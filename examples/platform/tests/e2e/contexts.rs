//! Contexts, memories and events through the whole platform: isolation, versions, limits, and `kill -9` while
//! many write.

use std::collections::HashMap;

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::support::{
    Served,
    http::{Answer, Attempt},
};

/// One tenant's caller.
#[derive(Clone)]
struct Caller {
    base: String,
    token: String,
}

impl Caller {
    fn new(served: &Served, token: &Secret<String>) -> Self {
        let base = served.url.trim_end_matches('/').trim_end_matches("/mcp").to_owned();
        Self { base, token: token.expose().clone() }
    }

    fn attempt(&self, method: Method, path: &str) -> Attempt {
        Attempt::new(method, &format!("{}/api/v1{path}", self.base)).bearer(&self.token)
    }

    async fn get(&self, path: &str) -> Answer {
        self.attempt(Method::GET, path).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.attempt(Method::POST, path).body(body.to_string()).send().await
    }

    /// A new context's id.
    async fn context(&self) -> String {
        let made = self.post("/contexts", &json!({ "data": { "conversation_history": [] } })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(made.headers["etag"], "\"1\"");
        made.json()["context_id"].as_str().unwrap().to_owned()
    }
}

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
    assert!(served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_recalled_by_its_words_and_says_that_it_is_by_words_alone() {
    let mut served = Served::start(&json!({}), "");
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let (acme, globex) = (Caller::new(&served, &acme), Caller::new(&served, &globex));
    let remember = |text: &str| json!({ "namespace": "user/u1", "text": text });
    let made = acme.post("/memories", &remember("Prefers window seats on trains")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    acme.post("/memories", &remember("Is allergic to peanuts")).await;
    assert_eq!(acme.post("/memories", &remember("Is allergic to peanuts")).await.status, StatusCode::OK);
    let question = json!({ "namespace": "user/u1", "query": "Which seats on a train?" });
    let recalled = acme.post("/memories/recall", &question).await.json();
    assert_eq!(recalled["items"][0]["text"], "Prefers window seats on trains", "{recalled}");
    assert_eq!((recalled["semantic"].as_bool(), recalled["note"].is_string()), (Some(false), true));
    assert_eq!(globex.post("/memories/recall", &question).await.json()["items"], json!([]));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let theirs = globex.attempt(Method::DELETE, &format!("/memories/{id}")).send().await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let forgotten = acme.attempt(Method::DELETE, &format!("/memories/{id}")).send().await;
    assert_eq!(forgotten.status, StatusCode::NO_CONTENT);
    let recalled = acme.post("/memories/recall", &question).await.json();
    assert!(!recalled.to_string().contains("window seats"), "{recalled}");
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
        let (text, seq) = acks.recv().await.unwrap();
        acked.insert(text, seq);
    }
    served.kill();
    for writer in writers {
        // It ends with the connection.
        assert!(writer.await.is_err());
    }
    while let Some((text, seq)) = acks.recv().await {
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
    let metrics = Attempt::new(Method::GET, &format!("{}/metrics", operations(&served))).send().await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("mcp_events_published_total"), "{metrics}");
    assert!(served.stop().success());
}

fn operations(served: &Served) -> String {
    let url = served.operations.trim_end_matches('/');
    url.trim_end_matches("/ready").to_owned()
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
        let frame = tokio::time::timeout(std::time::Duration::from_secs(30), body.frame()).await;
        let data = frame.expect("no event came").unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert!(text.contains("id: 2\nevent: com.mcp.tenant.context.updated\ndata: {"), "{text}");
    assert!(!text.contains("id: 1\n"), "{text}");
    assert!(served.stop().success());
    // The stream was ended, not cut.
    while let Some(frame) = body.frame().await {
        frame.unwrap();
    }
}
