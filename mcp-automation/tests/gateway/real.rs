//! The gateway over the real fleet: processes, and the fixture over HTTP in each era.

use std::{sync::Arc, time::Duration};

use mcp_automation::{
    fleet::{Fleet, FleetSpec, ServerSpec},
    gateway::{Gateway, GatewayConfig},
};
use mcp_core::clock::SystemClock;
use mcp_fixture::{FixtureArgs, Protocol};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    fleet_support::{config, name, python, unique},
    support::{Client, Denials, Events, bytes, client_of},
};

/// A fleet and the gateway over it; what is dropped stops.
pub(crate) struct Real {
    gateway: Gateway,
    fleet: Arc<Fleet>,
    _stop: Vec<DropGuard>,
}

impl Real {
    pub(crate) fn over(servers: Vec<ServerSpec>, stop: Vec<DropGuard>, gateway: GatewayConfig) -> Self {
        let fleet = Arc::new(Fleet::new(FleetSpec::new(servers).unwrap(), config()));
        let denials = Arc::new(Denials::default());
        let gateway = Gateway::new(gateway, fleet.clone(), Arc::new(SystemClock), denials).unwrap();
        Self { gateway, fleet, _stop: stop }
    }

    pub(crate) fn client(&self, tenant: &str) -> Client {
        client_of(&self.gateway, tenant, "ann", &["*"])
    }

    pub(crate) async fn end(self) {
        assert_eq!(self.gateway.drain(Duration::from_secs(5)).await, 0);
        self.fleet.shutdown(Duration::from_secs(1)).await;
    }
}

/// The fixture on a port of its own.
async fn fixture(server: &str, protocol: Protocol) -> (ServerSpec, DropGuard) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let router = mcp_fixture::router(&FixtureArgs { protocol, ..FixtureArgs::default() }, stop.clone());
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
    (ServerSpec::http(name(server), url.parse().unwrap()), stop.drop_guard())
}

pub(crate) async fn both_eras() -> Real {
    let (old, stop_old) = fixture("old", Protocol::Legacy).await;
    let (new, stop_new) = fixture("new", Protocol::Modern).await;
    Real::over(vec![old, new], vec![stop_old, stop_new], GatewayConfig::default())
}

fn names(list: &Value) -> Vec<String> {
    let tools = list["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn clients_of_both_eras_call_servers_of_both_eras() {
    let real = both_eras().await;
    let legacy = real.client("acme").initialize(json!({})).await;
    let stateless = real.client("acme");
    let listed = names(&legacy.rpc("tools/list", json!({})).await);
    assert_eq!(listed, names(&stateless.stateless("tools/list", json!({})).await));
    for server in ["old", "new"] {
        assert!(listed.contains(&format!("{server}__echo")), "{listed:?}");
        let call = json!({"name": format!("{server}__echo"), "arguments": {"a": 1, "b": [null]}});
        let from_legacy = legacy.rpc("tools/call", call.clone()).await;
        let from_stateless = stateless.stateless("tools/call", call).await;
        for answer in [&from_legacy, &from_stateless] {
            assert_eq!(answer["result"]["structuredContent"], json!({"a": 1, "b": [null]}), "{answer}");
        }
        assert_eq!(from_stateless["result"]["resultType"], "complete");
        let missing = json!({"name": format!("{server}__ecko"), "arguments": {}});
        for answer in [
            legacy.rpc("tools/call", missing.clone()).await,
            stateless.stateless("tools/call", missing).await,
        ] {
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            assert_eq!(answer["error"]["data"]["nearest"][0], format!("{server}__echo"));
        }
    }
    real.end().await;
}

#[tokio::test]
async fn progress_and_questions_of_real_servers_reach_a_legacy_client() {
    let real = both_eras().await;
    let client = real.client("acme").initialize(json!({"sampling": {}})).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "old__test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": "mine"}}});
    let events = Events::of(client.post(body.to_string()).await).rest().await;
    let progress: Vec<&Value> =
        events.iter().filter(|event| event["method"] == "notifications/progress").collect();
    assert_eq!(progress.len(), 3, "{events:?}");
    assert!(progress.iter().all(|event| event["params"]["progressToken"] == "mine"));

    for server in ["old", "new"] {
        let call = json!({"name": format!("{server}__test_sampling"), "arguments": {"prompt": "hello"}});
        let body = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call});
        let reply = |id: &Value| {
            json!({"jsonrpc": "2.0", "id": id, "result": {
                "role": "assistant", "model": "m", "content": {"type": "text", "text": "forty-two"}}})
        };
        let mut events = Events::of(client.post(body.to_string()).await);
        let question = events.next().await.unwrap();
        assert_eq!(question["method"], "sampling/createMessage");
        assert_eq!(client.post(reply(&question["id"]).to_string()).await.status(), 202);
        let answer = events.next().await.unwrap();
        assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("forty-two"), "{answer}");
    }
    real.end().await;
}

#[tokio::test]
async fn a_client_that_refuses_a_stateless_servers_question_gets_its_refusal_back() {
    let real = both_eras().await;
    let client = real.client("acme").initialize(json!({"sampling": {}})).await;
    let call = json!({"name": "new__test_sampling", "arguments": {"prompt": "hello"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": &call});
    let mut events = Events::of(client.post(body.to_string()).await);
    let question = events.next().await.unwrap();
    let refusal = json!({"code": -1, "message": "the user said no"});
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "error": refusal});
    assert_eq!(client.post(reply.to_string()).await.status(), 202);
    assert_eq!(events.next().await.unwrap()["error"], refusal);

    let mute = real.client("acme").initialize(json!({})).await;
    let answer = mute.rpc("tools/call", call).await;
    assert_eq!(answer["error"]["code"], -32021, "{answer}");
    real.end().await;
}

#[tokio::test]
async fn a_stateless_server_logs_at_the_level_of_the_session() {
    let real = both_eras().await;
    let client = real.client("acme").initialize(json!({})).await;
    let mut logged = Vec::new();
    for level in ["info", "error"] {
        client.rpc("logging/setLevel", json!({"level": level})).await;
        let call = json!({"name": "new__test_tool_with_logging", "arguments": {}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
        let answer = bytes(client.post(body.to_string()).await).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("executed successfully"), "{answer}");
        logged.push(answer.matches("notifications/message").count());
    }
    assert_eq!(logged, [3, 0]);
    real.end().await;
}

#[tokio::test]
async fn resources_prompts_and_completions_of_a_real_server() {
    let real = both_eras().await;
    for server in ["old", "new"] {
        let client = real.client("acme").at(&format!("/mcp/{server}"));
        let legacy = client.clone().initialize(json!({})).await;
        let resources = legacy.rpc("resources/list", json!({})).await;
        let uri = resources["result"]["resources"][0]["uri"].clone();
        for answer in [
            legacy.rpc("resources/read", json!({"uri": uri})).await,
            client.stateless("resources/read", json!({"uri": uri})).await,
        ] {
            assert_eq!(answer["result"]["contents"][0]["uri"], uri, "{answer}");
        }
        let prompts = legacy.rpc("prompts/list", json!({})).await;
        let prompt = prompts["result"]["prompts"][0]["name"].clone();
        let answer = client.stateless("prompts/get", json!({"name": prompt, "arguments": {}})).await;
        assert!(answer["result"]["messages"].is_array(), "{answer}");
        for reference in [
            json!({"type": "ref/prompt", "name": "test_prompt_with_arguments"}),
            json!({"type": "ref/resource", "uri": "test://template/{id}/data"}),
        ] {
            let half = json!({"ref": reference, "argument": {"name": "arg1", "value": "par"}});
            for answer in [
                legacy.rpc("completion/complete", half.clone()).await,
                client.stateless("completion/complete", half).await,
            ] {
                let values = &answer["result"]["completion"]["values"];
                assert_eq!(*values, json!(["paris", "park", "party"]), "{server}: {answer}");
            }
        }
    }
    real.end().await;
}

#[tokio::test]
async fn processes_are_a_tenants_own_and_their_bytes_pass() {
    let real = Real::over(vec![python("py", "legacy")], Vec::new(), GatewayConfig::default());
    let [acme, umbrella] = ["acme", "umbrella"].map(|tenant| real.client(tenant));
    let pid = async |client: &Client| {
        let answer = client.stateless("tools/call", json!({"name": "py__pid", "arguments": {}})).await;
        answer["result"]["pid"].as_u64().unwrap()
    };
    let first = pid(&acme).await;
    assert_eq!(first, pid(&acme).await);
    assert_ne!(first, pid(&umbrella).await);

    let legacy = acme.clone().initialize(json!({})).await;
    let mark = unique();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"py__echo","arguments":{{"text":"{mark}"}}}}}}"#
    );
    let answer = bytes(legacy.post(body).await).await;
    assert!(String::from_utf8_lossy(&answer).contains(r#""unknownField": 1.5"#), "{answer:?}");

    let answer = legacy.rpc("tools/call", json!({"name": "py__crash", "arguments": {}})).await;
    assert_eq!(answer["error"]["data"]["server"], "py", "{answer}");
    assert_eq!(pid(&umbrella).await, pid(&umbrella).await);

    let mut hurried = legacy.clone();
    hurried.scope = hurried.scope.with_deadline(std::time::Instant::now() + Duration::from_millis(500));
    let answer = hurried.rpc("tools/call", json!({"name": "py__hang", "arguments": {}})).await;
    assert_eq!(answer["error"]["data"]["server"], "py", "{answer}");
    real.end().await;
}
