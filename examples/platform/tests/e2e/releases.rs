//! A server's life over REST: added from the public registry, switched under calls, gone back, removed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Served, files_with,
    http::{Answer, Attempt},
};

const PACKAGE: &str = "npm:@modelcontextprotocol/server-everything";
const PYTHON_PACKAGE: &str = "pypi:mcp-server-time";

struct Operator<'a> {
    served: &'a Served,
    key: String,
}

impl Operator<'_> {
    async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let attempt = Attempt::new(method, &self.served.api(&format!("/operator{path}"))).bearer(&self.key);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        attempt.body(body).send().await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.json()
    }

    /// Begins long work and follows its status URL to the end.
    async fn work(&self, path: &str, body: Value) -> Value {
        let begun = self.ask(Method::POST, path, &body).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
        let status = begun.json()["status_url"].as_str().unwrap().to_owned();
        assert_eq!(begun.headers["location"], status.as_str());
        let path = status.strip_prefix("/api/v1/operator").unwrap();
        let until = tokio::time::Instant::now() + Duration::from_secs(300);
        loop {
            let now = self.get(path).await;
            if now["state"] != "running" {
                return now;
            }
            assert!(tokio::time::Instant::now() < until, "it does not end: {now}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_added_switched_and_removed_over_rest() {
    let mut served = Served::start(&json!({}), "");
    let key = served.operator_key().expose().clone();
    let token = served.tenant("acme");
    let operator = Operator { served: &served, key: key.clone() };

    let new =
        json!({ "package": format!("{PACKAGE}@2026.7.4"), "env": { "SECRET": "s3cret" }, "stateless": true });
    let added = operator.work("/servers", new.clone()).await;
    assert_eq!((&added["state"], &added["version"]), (&json!("done"), &json!("2026.7.4")), "{added}");
    let again = operator.ask(Method::POST, "/servers", &new).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("already_exists")));

    let mut client = served.client(&token).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let calls = async {
        let mut calls = 0;
        while !stop.is_cancelled() {
            let answer = client.call("everything__echo", &json!({ "message": "hi" })).await.unwrap();
            assert_eq!(answer, "Echo: hi");
            calls += 1;
        }
        calls
    };
    let switches = async {
        for version in ["2026.8.31", "2026.7.4"] {
            let used = operator.work("/servers/everything/use", json!({ "version": version })).await;
            assert_eq!((&used["state"], &used["version"]), (&json!("done"), &json!(version)), "{used}");
        }
        stop.cancel();
    };
    let (calls, ()) = tokio::join!(calls, switches);
    assert!(calls > 20, "only {calls} calls");

    // It was added and switched twice, which installed two releases.
    assert_eq!(counted(&served, r#"mcp_server_operations_total{outcome="done"}"#).await, 3);
    assert!(counted(&served, r#"mcp_release_installs_total{registry="npm",outcome="done"}"#).await >= 2);
    assert_eq!(counted(&served, r#"mcp_server_switches_total{server="everything"}"#).await, 3);
    let unknown = operator.work("/servers/everything/use", json!({ "version": "2026.8.30" })).await;
    let message = unknown["error"]["message"].as_str().unwrap();
    assert!(message.contains("`2026.8.18`") && message.contains("`2026.8.31`"), "{message}");
    assert_eq!(counted(&served, r#"mcp_server_operations_total{outcome="failed"}"#).await, 1);
    let shown = operator.get("/servers/everything").await;
    assert_eq!((&shown["version"], &shown["state"]), (&json!("2026.7.4"), &json!("serving")));
    assert_eq!(shown["env"], json!(["SECRET"]));
    let states: Vec<_> =
        shown["releases"].as_array().unwrap().iter().map(|release| &release["state"]).collect();
    assert_eq!(states, ["active", "previous"]);
    assert!(!shown.to_string().contains("s3cret"));

    // What was added is there after a restart.
    served.kill();
    served.run();
    let operator = Operator { served: &served, key };
    assert_eq!(operator.get("/releases").await["items"][0]["state"], "serving");
    let mut client = served.client(&token).await;
    client.call("everything__echo", &json!({ "message": "hi" })).await.unwrap();

    let removed = operator.ask(Method::DELETE, "/servers/everything", &Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    assert_eq!(
        operator.ask(Method::GET, "/servers/everything", &Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(operator.get("/releases").await["items"], json!([]));
    let records = operator.get("/audit").await;
    for action in ["server.add", "server.stage", "server.use", "server.remove"] {
        let found = records["items"].as_array().unwrap().iter().any(|record| record["action"] == action);
        assert!(found, "{action} is not among {records}");
    }
    assert!(!records.to_string().contains("s3cret"));
}

/// Which release of the Python server runs, by the folder its process was started in.
async fn running(operator: &Operator<'_>) -> String {
    let servers = operator.get("/servers").await;
    let of_time = servers["items"].as_array().unwrap().iter().find(|server| server["name"] == "time");
    let pid = of_time.unwrap()["pid"].as_i64().unwrap_or_else(|| panic!("{servers}"));
    std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_server_is_added_switched_there_and_back_and_removed() {
    let served = Served::start(&json!({}), "");
    let operator = Operator { served: &served, key: served.operator_key().expose().clone() };
    let token = served.tenant("user-of-releases");
    let new =
        json!({ "package": format!("{PYTHON_PACKAGE}==2026.10.10"), "name": "time", "stateless": true });
    let added = operator.work("/servers", new).await;
    assert_eq!((&added["state"], &added["version"]), (&json!("done"), &json!("2026.10.10")), "{added}");
    let mut client = served.client(&token).await;
    let mut folders = Vec::new();
    for version in ["2026.10.10", "2026.10.19", "2026.10.10"] {
        if !folders.is_empty() {
            let used = operator.work("/servers/time/use", json!({ "version": version })).await;
            assert_eq!((&used["state"], &used["version"]), (&json!("done"), &json!(version)), "{used}");
        }
        let berlin = json!({ "timezone": "Europe/Berlin" });
        let answer = client.call("time__get_current_time", &berlin).await.unwrap();
        assert!(answer.contains("Europe/Berlin"), "{answer}");
        let folder = running(&operator).await;
        assert!(folder.contains(version), "{version} does not run in {folder}");
        folders.push(folder);
    }
    // What erasing a tenant relies on: nothing of any tenant is kept with releases.
    let all = served.path().join("mcp-platform-data/releases");
    assert!(folders.iter().all(|folder| Path::new(folder).starts_with(all.canonicalize().unwrap())));
    for marker in ["user-of-releases", token.expose()] {
        assert_eq!(files_with(&all, marker), Vec::<PathBuf>::new());
    }
    assert_eq!((folders[0] == folders[2], folders[0] == folders[1]), (true, false), "{folders:?}");
    assert_eq!(counted(&served, r#"mcp_server_operations_total{outcome="done"}"#).await, 3);
    assert!(counted(&served, r#"mcp_release_installs_total{registry="pypi",outcome="done"}"#).await >= 2);
    assert_eq!(counted(&served, r#"mcp_server_switches_total{server="time"}"#).await, 3);

    let unknown = operator.work("/servers/time/use", json!({ "version": "2026.10.18.1" })).await;
    let message = unknown["error"]["message"].as_str().unwrap();
    assert!(message.contains("`2026.10.19`"), "{message}");
    let removed = operator.ask(Method::DELETE, "/servers/time", &Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "{removed:?}");
    client.call("time__get_current_time", &json!({ "timezone": "Europe/Berlin" })).await.unwrap_err();
}

/// The value of a counter at `/metrics`; 0 where it is not there.
async fn counted(served: &Served, counter: &str) -> u64 {
    let metrics = Attempt::new(Method::GET, &format!("{}/metrics", served.operations)).send().await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(counter));
    line.map_or(0, |value| value.trim().parse().unwrap_or_else(|_| panic!("{counter}: {value}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_is_refused_by_name() {
    let served = Served::start(&json!({ "fixed": { "command": "true" } }), "");
    let operator = Operator { served: &served, key: served.operator_key().expose().clone() };
    for (body, status, wanted) in [
        (json!({}), 400, "package"),
        (json!({ "package": "left-pad" }), 400, "npm:@scope/name@version"),
        (json!({ "package": "npm:x@^1" }), 400, "ranges and tags"),
        (json!({ "package": "npm:x", "name": "a b" }), 400, "server name"),
        (json!({ "package": "npm:x", "nmae": "a" }), 400, "nmae"),
        (json!({ "package": "npm:x", "env": { "A=B": "" } }), 400, "env.A=B"),
        (json!({ "package": "npm:x", "name": "fixed" }), 409, "operator's file"),
    ] {
        let answer = operator.ask(Method::POST, "/servers", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {answer:?}");
        assert!(answer.json().to_string().contains(wanted), "{body}: {answer:?}");
    }
    for path in [
        "/servers/none",
        "/servers/a%20b",
        "/operations/none",
        "/operations/019c0000-0000-7000-8000-000000000000",
    ] {
        let answer = operator.ask(Method::GET, path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
    let tenants = served.tenant("acme");
    let answer =
        Attempt::new(Method::GET, &served.api("/operator/releases")).bearer(tenants.expose()).send().await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
