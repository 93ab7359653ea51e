//! Roles and policies of a tenant, over HTTP, down to the calls they decide.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::{Caller, metrics, ready},
    bounded::until,
    database::{Database, on_every_database},
    fixture,
    http::{Answer, Attempt},
    opa::Opa,
};

on_every_database!(
    a_policy_in_cedar_denies_one_tool_to_one_principal,
    a_policy_that_denies_everything_can_be_replaced,
    rego_runs_where_an_operator_switched_it_on_and_nowhere_else,
    a_role_counts_for_credentials_that_use_roles_alone,
);

const CEDAR: &str = r#"
@id("by-permission")
permit (principal, action, resource)
when { context.permitted };

@id("bob-does-not-echo")
forbid (principal == Mcp::Service::"bob", action == Mcp::Action::"tools:call", resource is Mcp::Tool)
when { resource.id == "fixture__echo" };
"#;

/// The Rego of the guide.
fn rego() -> String {
    let guide = include_str!("../../../../docs/guide/policies.md");
    guide.split_once("```rego\n").unwrap().1.split_once("```").unwrap().0.to_owned()
}

/// A key of a principal of `acme`.
fn key(served: &Served, principal: &str, permissions: &[&str]) -> Secret<String> {
    let mut arguments = vec!["key", "create", "acme", "--principal", principal];
    arguments.extend(permissions.iter().flat_map(|permission| ["--permission", permission]));
    Secret::new(served.command(&arguments)["key"].as_str().unwrap().to_owned())
}

async fn call(served: &Served, key: &Secret<String>, tool: &str) -> Answer {
    let params = json!({ "name": tool, "arguments": { "message": "hello" } });
    Attempt::call(&served.url, "tools/call", params).bearer(key.expose()).send().await
}

/// Writes, validates and activates a version in place of `expected`; its number.
async fn activate(boss: &Caller, language: &str, text: &str, expected: i64) -> i64 {
    let draft =
        boss.post("/policies", &json!({ "language": language, "text": text, "note": "a test" })).await;
    assert_eq!(draft.status, StatusCode::CREATED, "{draft:?}");
    let version = draft.json()["version"].as_i64().unwrap();
    let validated = boss.post(&format!("/policies/{version}/validate"), &json!({})).await;
    assert_eq!(validated.json()["state"], "validated", "{validated:?}");
    let active = json!({ "version": version, "expected": expected });
    let active = boss.attempt(Method::PUT, "/policies/active").body(active.to_string()).send().await;
    assert_eq!(active.json(), json!({ "version": version }), "{active:?}");
    version
}

/// The first record that matches, once it is written.
async fn recorded(boss: &Caller, query: &str) -> Value {
    let began = Instant::now();
    loop {
        let found = boss.get(&format!("/audit?{query}")).await;
        assert_eq!(found.status, StatusCode::OK, "{found:?}");
        if let Some(record) = found.json()["items"].get(0) {
            return record.clone();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{query} is not in the audit log");
    }
}

async fn a_policy_in_cedar_denies_one_tool_to_one_principal(database: &Database) {
    let served = database.serve(&json!({ "fixture": fixture("policies", &[]) }), "");
    served.tenant("acme");
    let (ann, bob) = (key(&served, "ann", &["*"]), key(&served, "bob", &["*"]));
    let boss = Caller::new(&served, &ann);
    for key in [&ann, &bob] {
        assert_eq!(call(&served, key, "fixture__echo").await.status, StatusCode::OK);
    }

    let broken = json!({ "language": "cedar", "text": "permit (principal, action, resource)\nwhen { context.permited };" });
    let broken = boss.post("/policies", &broken).await.json()["version"].as_i64().unwrap();
    let refused = boss.post(&format!("/policies/{broken}/validate"), &json!({})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.json()["detail"].as_str().unwrap().contains("line 2, column 8"), "{refused:?}");
    let activated = json!({ "version": broken, "expected": 0 });
    let activated = boss.attempt(Method::PUT, "/policies/active").body(activated.to_string()).send().await;
    assert_eq!(activated.status, StatusCode::BAD_REQUEST, "{activated:?}");

    let draft = boss.post("/policies", &json!({ "language": "cedar", "text": CEDAR })).await.json();
    let run = boss.post(&format!("/policies/{}/dry-run", draft["version"]), &json!({})).await.json();
    assert_eq!(
        (&run["newly_denied"], &run["newly_allowed"], &run["failed"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(run["changed"][0]["request"]["principal"]["id"], "bob");
    assert_eq!(run["changed"][0]["after"]["reasons"], json!(["bob-does-not-echo"]));
    // Trying it changed nothing.
    assert_eq!(call(&served, &bob, "fixture__echo").await.status, StatusCode::OK);

    let version = activate(&boss, "cedar", CEDAR, 0).await;
    let denied = call(&served, &bob, "fixture__echo").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{denied:?}");
    assert_eq!(denied.json()["error"]["data"]["code"], "permission_denied");
    assert!(!String::from_utf8_lossy(&denied.body).contains("bob-does-not-echo"), "{denied:?}");
    // The tool is the same under its own name at its server's endpoint.
    let params = json!({ "name": "echo", "arguments": { "message": "hello" } });
    let url = format!("{}/fixture", served.url);
    let denied = Attempt::call(&url, "tools/call", params).bearer(bob.expose()).send().await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{denied:?}");
    assert_eq!(call(&served, &bob, "fixture__env").await.status, StatusCode::OK);
    assert_eq!(call(&served, &ann, "fixture__echo").await.status, StatusCode::OK);
    assert_eq!(Attempt::list(&served.url).bearer(bob.expose()).send().await.status, StatusCode::OK);

    let record = recorded(&boss, "action=access.denied&actor=bob&outcome=denied").await;
    assert_eq!(record["resource"], "tool/fixture__echo");
    assert_eq!(record["detail"]["reason"], "denied by bob-does-not-echo", "{record}");
    let question = json!({ "action": "tools:call", "resource": { "type": "tool", "id": "fixture__echo" } });
    let bob_asks = Caller::new(&served, &bob);
    let decided = bob_asks.post("/policies/decide", &question).await.json();
    assert_eq!(decided["decision"]["reasons"], json!(["bob-does-not-echo"]), "{decided}");
    assert_eq!(boss.post("/policies/decide", &question).await.json()["decision"]["allowed"], true);

    // Whoever expects another version than the one that decides is told so; an earlier state comes back.
    let put = |body: Value| boss.attempt(Method::PUT, "/policies/active").body(body.to_string()).send();
    let conflict = put(json!({ "version": 0, "expected": 0 })).await;
    assert_eq!(
        (conflict.status, &conflict.json()["current_version"]),
        (StatusCode::CONFLICT, &json!(version))
    );
    assert_eq!(put(json!({ "version": 0, "expected": version })).await.status, StatusCode::OK);
    assert_eq!(call(&served, &bob, "fixture__echo").await.status, StatusCode::OK);
}

async fn a_policy_that_denies_everything_can_be_replaced(database: &Database) {
    let served = database.serve(&json!({}), "");
    served.tenant("acme");
    let boss = Caller::new(&served, &key(&served, "ann", &["*"]));
    let nothing = "@id(\"closed\") forbid (principal, action, resource);";
    let version = activate(&boss, "cedar", nothing, 0).await;
    for path in ["/contexts", "/keys", "/audit", "/roles", "/events?limit=1"] {
        assert_eq!(boss.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let listed = boss.get("/policies").await;
    assert_eq!((listed.status, &listed.json()["items"][0]["state"]), (StatusCode::OK, &json!("active")));
    let open = "permit (principal, action, resource) when { context.permitted };";
    activate(&boss, "cedar", open, version).await;
    for path in
        ["/contexts", "/keys", "/audit", "/roles", "/events?limit=1", "/tenants/acme", "/quotas", "/servers"]
    {
        assert_eq!(boss.get(path).await.status, StatusCode::OK, "{path}");
    }
}

async fn rego_runs_where_an_operator_switched_it_on_and_nowhere_else(database: &Database) {
    let mut served = database.serve(&json!({}), "");
    served.tenant("acme");
    let ann = key(&served, "ann", &["*"]);
    let boss = Caller::new(&served, &ann);
    let refused = boss.post("/policies", &json!({ "language": "rego", "text": rego() })).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert_eq!(refused.json()["field"], "language");
    assert_eq!(boss.get("/policies").await.json()["items"], json!([]));

    assert!(served.stop().success());
    served.configure(&format!("[policy]\nrego = true\n{}", database.settings()));
    served.run();
    let boss = Caller::new(&served, &ann);
    assert_eq!(boss.get("/audit").await.status, StatusCode::OK);
    activate(&boss, "rego", &rego(), 0).await;
    assert_eq!(boss.get("/contexts").await.status, StatusCode::OK);
    assert_eq!(boss.get("/audit").await.status, StatusCode::FORBIDDEN);
    let narrow = Caller::new(&served, &key(&served, "bob", &["keys:read"]));
    assert_eq!(narrow.get("/keys").await.status, StatusCode::OK);
    assert_eq!(narrow.get("/contexts").await.status, StatusCode::FORBIDDEN);
}

async fn a_role_counts_for_credentials_that_use_roles_alone(database: &Database) {
    let served = database.serve(&json!({ "fixture": fixture("roles", &[]) }), "");
    served.tenant("acme");
    let boss = Caller::new(&served, &key(&served, "ann", &["*"]));
    let (uses, narrow) = (key(&served, "bob", &["roles:use"]), key(&served, "bob", &["models:use"]));
    let (with_roles, without) = (Caller::new(&served, &uses), Caller::new(&served, &narrow));
    let put =
        |role: &str, body: Value| boss.attempt(Method::PUT, &format!("/roles/{role}")).body(body.to_string());
    let made = put("viewer", json!({ "permissions": ["contexts:read"] })).send().await;
    assert_eq!((made.status, &made.headers["etag"]), (StatusCode::OK, &"\"1\"".parse().unwrap()));
    let editor = json!({ "permissions": ["tools:call"], "inherits": ["viewer"], "description": "Edits." });
    assert_eq!(put("editor", editor).send().await.status, StatusCode::OK);
    assert_eq!(with_roles.get("/contexts").await.status, StatusCode::FORBIDDEN);
    assert_eq!(call(&served, &uses, "fixture__echo").await.status, StatusCode::FORBIDDEN);

    let give = boss.attempt(Method::PUT, "/principals/bob/roles/editor").send().await;
    assert_eq!(give.status, StatusCode::NO_CONTENT, "{give:?}");
    // At once, in the process that gave it.
    assert_eq!(with_roles.get("/contexts").await.status, StatusCode::OK);
    assert_eq!(call(&served, &uses, "fixture__echo").await.status, StatusCode::OK);
    assert_eq!(without.get("/contexts").await.status, StatusCode::FORBIDDEN);
    assert_eq!(call(&served, &narrow, "fixture__echo").await.status, StatusCode::FORBIDDEN);
    let granted = boss.get("/principals/bob/roles").await.json();
    assert_eq!(granted["roles"], json!(["editor", "viewer"]));
    assert_eq!(boss.get("/roles/editor/principals").await.json()["items"], json!(["bob"]));

    // Nobody gives what they do not have, and stale versions are told so.
    let limited = Caller::new(&served, &key(&served, "eve", &["roles:write", "roles:read"]));
    let beyond = limited.attempt(Method::PUT, "/principals/eve/roles/editor").send().await;
    assert_eq!(beyond.status, StatusCode::FORBIDDEN, "{beyond:?}");
    let stale = put("viewer", json!({})).header("if-match", "\"7\"").send().await;
    assert_eq!((stale.status, &stale.json()["current_version"]), (StatusCode::CONFLICT, &json!(1)));
    let in_use = boss.attempt(Method::DELETE, "/roles/viewer").header("if-match", "\"1\"").send().await;
    assert_eq!(in_use.status, StatusCode::CONFLICT, "{in_use:?}");

    let taken = boss.attempt(Method::DELETE, "/principals/bob/roles/editor").send().await;
    assert_eq!(taken.status, StatusCode::NO_CONTENT);
    assert_eq!(with_roles.get("/contexts").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_policy_agent_stands_above_tenants_policies_and_lets_nobody_in_while_it_is_away() {
    let mut opa = Opa::start(|input| {
        let is_audit = input["resource"]["type"] == "audit_log";
        json!({ "allow": true, "deny": if is_audit { json!(["not the log"]) } else { json!([]) } })
    });
    let served = Served::start(&json!({}), &opa.settings("opa_remember_seconds = 0\n"));
    served.tenant("acme");
    let boss = Caller::new(&served, &key(&served, "ann", &["*"]));
    let narrow = Caller::new(&served, &key(&served, "bob", &["keys:read"]));
    assert_eq!(boss.get("/contexts").await.status, StatusCode::OK);
    assert_eq!(boss.get("/audit").await.status, StatusCode::FORBIDDEN);
    // What it allows, permissions must allow too.
    assert_eq!(narrow.get("/contexts").await.status, StatusCode::FORBIDDEN);
    let state = async || ready(&served).await.json()["opa"].clone();
    assert_eq!(state().await["state"], "up");
    assert!(metrics(&served).await.contains("mcp_policy_opa_up 1"));

    opa.end();
    until("callers get in while it is away", async || {
        boss.get("/contexts").await.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let away = state().await;
    assert!(away["state"] == "away" && away["reason"].is_string(), "{away}");
    assert!(metrics(&served).await.contains("mcp_policy_opa_up 0"));
}
