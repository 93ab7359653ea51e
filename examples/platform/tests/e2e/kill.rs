//! `kill -9` of an upstream, of the `npx` above it, and of the platform: no process stays behind, and the
//! audit chains still verify.

use std::time::Duration;

use crate::support::{Served, fixture, processes, tools};
use mcp_platform::client::McpClient;
use serde_json::{Value, json};

/// Within this time a launcher has ended everything, with room for a busy machine.
const GONE: Duration = Duration::from_secs(20);

fn mark() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The reference server below `npx`, as an operator would mount it.
fn npx_everything(mark: &str) -> Value {
    json!({
        "command": "npx",
        "args": ["--no-install", "mcp-server-everything"],
        "cwd": tools().join("everything"),
        "env": { "PATH": "${PATH}", "HOME": "${HOME}", processes::MARK: mark },
    })
}

/// Calls until it works: the first call after a kill may meet the end of the old process.
async fn works_again(client: &mut McpClient, tool: &str, arguments: &Value) {
    let began = std::time::Instant::now();
    loop {
        match client.call(tool, arguments).await {
            Ok(_) => return,
            Err(error) => {
                let server = tool.split("__").next().unwrap();
                assert!(error.report().contains(server), "the error does not name the server: {error}");
                assert!(began.elapsed() < GONE, "{tool} does not come back: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_upstream_is_started_again_and_nobody_else_notices() {
    let (ours, theirs) = (mark(), mark());
    let mut served = Served::start(&json!({ "one": fixture(&ours, &[]), "two": fixture(&theirs, &[]) }), "");
    let token = served.tenant("acme");
    let mut client = served.client(&token).await;
    let echo = json!({ "message": "hello" });
    client.call("one__echo", &echo).await.unwrap();
    client.call("two__echo", &echo).await.unwrap();
    let neighbours = processes::marked(&theirs);

    for pid in processes::marked(&ours) {
        processes::kill(pid);
    }
    client.call("two__echo", &echo).await.unwrap();
    works_again(&mut client, "one__echo", &echo).await;

    assert_eq!(processes::marked(&theirs), neighbours);
    assert!(served.stop().success());
    assert!(processes::marked(&ours).is_empty() && processes::marked(&theirs).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_npx_takes_its_server_along() {
    let mark = mark();
    let mut served = Served::start(&json!({ "everything": npx_everything(&mark) }), "");
    let token = served.tenant("acme");
    let mut client = served.client(&token).await;
    let echo = json!({ "message": "hello" });
    client.call("everything__echo", &echo).await.unwrap();

    let before = processes::marked(&mark);
    let top = |pid: &u32| processes::parent(*pid).is_none_or(|parent| !before.contains(&parent));
    let npx = before.iter().copied().find(top).unwrap();
    assert!(before.len() > 1, "npx has no server below it: {before:?}");
    processes::kill(npx);
    works_again(&mut client, "everything__echo", &echo).await;
    processes::eventually("the old server ends", GONE, || {
        processes::marked(&mark).iter().all(|pid| !before.contains(pid))
    });
    assert!(served.stop().success());
    assert!(processes::marked(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_platform_takes_everything_along_and_its_audit_chains_verify() {
    let mark = mark();
    let servers = json!({ "fixture": fixture(&mark, &[]), "everything": npx_everything(&mark) });
    let mut served = Served::start(&servers, "");
    let token = served.tenant("acme");
    served.tenant("globex");
    let mut client = served.client(&token).await;
    client.call("fixture__echo", &json!({ "message": "hello" })).await.unwrap();
    client.call("everything__echo", &json!({ "message": "hello" })).await.unwrap();
    for _ in 0..20 {
        client.attempt("tools/list", &json!({}), &[("x-tenant-id", "globex")]).await.unwrap();
    }
    assert!(processes::marked(&mark).len() >= 3);

    served.kill();
    processes::eventually("every server ends", GONE, || processes::marked(&mark).is_empty());
    let report = served.command(&["audit", "verify"]);
    assert_eq!(report["intact"], true, "{report}");

    served.run();
    let mut client = served.client(&token).await;
    client.call("fixture__echo", &json!({ "message": "again" })).await.unwrap();
    assert!(served.stop().success());
    let report = served.command(&["audit", "verify"]);
    assert_eq!(report["intact"], true, "{report}");
    assert!(processes::marked(&mark).is_empty());
}
