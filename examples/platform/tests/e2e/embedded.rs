//! The platform inside a program: what the bindings are thin over.

use mcp_core::{ErrorKind, error::Detail};
use mcp_platform::embedded::{ContextFilter, Embedded, Options, TenantHandle};
use serde_json::{Value, json};

use crate::support::models;

/// A platform in a directory of its own, with the fixture mounted and two tenants.
struct Opened {
    _directory: tempfile::TempDir,
    platform: Embedded,
}

impl Opened {
    async fn new(config: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let binary = env!("CARGO_BIN_EXE_mcp-platform");
        let options = json!({
            "data_dir": directory.path(),
            "config": config,
            "servers": { "fixture": { "command": binary, "args": ["fixture"] } },
            "launcher": [binary, "__mcp-launcher"],
        });
        let platform = Embedded::open(Options::parse(&options.to_string()).unwrap()).await.unwrap();
        for id in ["acme", "globex"] {
            platform.create_tenant(id, id).await.unwrap();
        }
        Self { _directory: directory, platform }
    }

    async fn tenant(&self, id: &str, permissions: &[&str]) -> TenantHandle {
        let key = self.platform.create_key(id, "test", "tester", permissions).await.unwrap();
        self.platform.tenant(key.expose()).await.unwrap()
    }
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

#[tokio::test]
async fn two_tenants_call_their_tools_and_stay_apart() {
    let opened = Opened::new(&json!({})).await;
    let (acme, globex) = (opened.tenant("acme", &["*"]).await, opened.tenant("globex", &["*"]).await);
    assert_eq!((acme.id().as_str(), acme.principal().as_str()), ("acme", "tester"));
    let tools = acme.list_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "fixture__echo"), "{tools:?}");

    let plan = json!({ "name": "plan", "value": "acme buys globex" });
    acme.call_tool("fixture__remember", &plan).await.unwrap();
    let asked = json!({ "name": "plan" });
    let ours = acme.call_tool("fixture__recall", &asked).await.unwrap();
    assert!(text(&ours).contains("acme buys globex") && ours.get("resultType").is_none(), "{ours}");
    let theirs = globex.call_tool("fixture__recall", &asked).await;
    assert!(!format!("{theirs:?}").contains("acme buys"), "{theirs:?}");
    opened.platform.close().await;
}

#[tokio::test]
async fn conversations_and_memories_are_the_tenants_own() {
    let opened = Opened::new(&json!({ "inference": { "models_dir": models() } })).await;
    let (acme, globex) = (opened.tenant("acme", &["*"]).await, opened.tenant("globex", &["*"]).await);
    let context = acme.create_context(&json!({ "session_id": "s1" })).await.unwrap();
    let id = context["context_id"].as_str().unwrap();
    let messages = json!([{ "role": "user", "content": "When does my order arrive?" }]);
    let appended = acme.append(id, &messages, Some(1), Some("once")).await.unwrap();
    assert_eq!((&appended["version"], &appended["last_seq"]), (&json!(2), &json!(1)));
    assert_eq!(acme.append(id, &messages, Some(1), Some("once")).await.unwrap(), appended, "appended twice");
    let stale = acme.patch_context(id, &json!({ "open": true }), 1).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    acme.patch_context(id, &json!({ "open": true }), 2).await.unwrap();
    let read = acme.read_context(id, None).await.unwrap();
    assert_eq!(read["data"]["conversation_history"][0]["content"], "When does my order arrive?");
    assert_eq!((&read["data"]["open"], &read["metadata"]["version"]), (&json!(true), &json!(3)));
    let listed = acme.list_contexts(&ContextFilter::default()).await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(globex.read_context(id, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(globex.list_contexts(&ContextFilter::default()).await.unwrap()["items"], json!([]));

    let (meal, baby) = ("A man is eating food.", "The girl is carrying a baby.");
    for text in [meal, baby] {
        acme.remember("user/ann", text, &json!({})).await.unwrap();
    }
    let found = acme.recall("user/ann", "someone has lunch", Some(1)).await.unwrap();
    assert_eq!((&found["items"][0]["text"], &found["semantic"]), (&json!(meal), &json!(true)), "{found}");
    assert_eq!(globex.recall("user/ann", meal, None).await.unwrap()["items"], json!([]));
    let vectors = acme.embed(&[meal, baby], Some("minilm")).await.unwrap();
    assert_eq!(vectors.iter().map(Vec::len).collect::<Vec<_>>(), [384, 384]);

    acme.delete_context(id, Some(3)).await.unwrap();
    assert_eq!(acme.read_context(id, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    opened.platform.close().await;
}

#[tokio::test]
async fn refusals_are_those_of_the_layers_and_the_gateway() {
    let opened = Opened::new(&json!({ "server": { "drain_seconds": 1 } })).await;
    let platform = &opened.platform;
    let kind = |error: mcp_core::Error| error.kind();
    let unknown = platform.create_key("nobody", "k", "p", &["*"]).await.unwrap_err();
    assert_eq!(kind(unknown), ErrorKind::NotFound);
    let malformed = platform.create_key("acme", "k", "p", &["Tools"]).await.unwrap_err();
    assert_eq!(kind(malformed), ErrorKind::InvalidInput);
    assert_eq!(kind(platform.create_tenant("acme", "again").await.unwrap_err()), ErrorKind::AlreadyExists);
    for key in ["", "mcp_no_such", "line\nbreak"] {
        assert_eq!(kind(platform.tenant(key).await.unwrap_err()), ErrorKind::Unauthenticated, "{key:?}");
    }

    let acme = opened.tenant("acme", &["tools:call"]).await;
    let denied = acme.list_tools().await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
    assert_eq!(denied.details(), [Detail::MissingScope { scope: "tools:list" }]);
    for tool in ["fixture__nothing", "nowhere__echo", "é"] {
        let refused = acme.call_tool(tool, &json!({})).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput), "{refused:?}");
    }
    let refused = acme.call_tool("fixture__echo", &json!("text")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);

    platform.close().await;
    assert_eq!(kind(acme.call_tool("fixture__echo", &json!({})).await.unwrap_err()), ErrorKind::Cancelled);
    assert_eq!(kind(platform.create_tenant("late", "Late").await.unwrap_err()), ErrorKind::Cancelled);
    platform.close().await;
}

#[tokio::test]
async fn servers_are_mounted_while_it_runs() {
    let opened = Opened::new(&json!({ "server": { "drain_seconds": 1 } })).await;
    let acme = opened.tenant("acme", &["*"]).await;
    let server = json!({ "command": env!("CARGO_BIN_EXE_mcp-platform"), "args": ["fixture"] });
    for _ in 0..2 {
        opened.platform.mount("later", &server.to_string()).await.unwrap();
        acme.call_tool("later__echo", &json!({ "message": "hello" })).await.unwrap();
    }
    for (name, server, kind) in [
        ("fixture", server.to_string(), ErrorKind::Conflict),
        ("a__b", server.to_string(), ErrorKind::InvalidInput),
        ("a", r#"{"comand": "x"}"#.to_owned(), ErrorKind::InvalidInput),
        ("a", "[".to_owned(), ErrorKind::InvalidInput),
        ("a", r#"{"command": "/nonexistent/program"}"#.to_owned(), ErrorKind::Upstream),
        ("a", r#"{"command": "/bin/true"}"#.to_owned(), ErrorKind::Upstream),
    ] {
        let refused = opened.platform.mount(name, &server).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused:?}");
    }
    assert!(
        acme.list_tools().await.unwrap().iter().all(|tool| !tool["name"].as_str().unwrap().starts_with("a_"))
    );
    opened.platform.close().await;
}

#[tokio::test]
async fn a_call_counts_against_the_tenants_limit_and_ends_at_the_deadline() {
    let opened =
        Opened::new(&json!({ "server": { "request_timeout_seconds": 1, "drain_seconds": 1 } })).await;
    let acme = opened.tenant("acme", &["*"]).await;
    // Started before, so that the deadline cuts the call and not the start.
    acme.call_tool("fixture__echo", &json!({ "message": "hello" })).await.unwrap();
    let slow = acme.call_tool("fixture__slow", &json!({ "ms": 30_000 })).await.unwrap_err();
    assert_eq!(slow.kind(), ErrorKind::DeadlineExceeded, "{slow:?}");
    let mut refused = None;
    for _ in 0..700 {
        refused = acme
            .call_tool("nowhere__x", &json!({}))
            .await
            .err()
            .filter(|error| error.retry_after().is_some());
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.expect("700 calls passed a limit of 600").kind(), ErrorKind::RateLimited);
    opened.platform.close().await;
}
