//! Policies at a server that speaks OPA's protocol: the suite of engines, and that a server which is away,
//! slow or lying gets nobody in. The server decides by regorus; a real OPA is a program we do not ship.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

mod server;

use std::{sync::Arc, time::Duration};

use mcp_core::{
    ErrorKind, Scope,
    access::{Access, Action, Resource},
    clock::{ManualClock, SystemClock, Timestamp},
    conformance::scope_of,
};
use mcp_tenancy::{
    conformance::{self, POLICY, REFERENCE_REGO},
    policy::{DataPath, OpaConfig, OpaPolicy, Policy, PolicyRequest, decide},
    role::Granted,
};

use server::{Answer, OpaServer};

const CALL: Action = Action::constant("tools:call");

/// Evaluates the reference policy's document, as an OPA does that has loaded it.
fn decided(path: &str, body: &str) -> String {
    assert_eq!(path, "/v1/data/mcp/reference");
    let mut engine = regorus::Engine::new();
    engine.add_policy("reference.rego".into(), REFERENCE_REGO.into()).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    engine.set_input(regorus::Value::from(body["input"].clone()));
    let mut rule = |name: &str| {
        let value = engine.eval_rule(format!("data.mcp.reference.{name}")).unwrap();
        serde_json::from_str::<serde_json::Value>(&value.to_json_str().unwrap()).unwrap()
    };
    let result = serde_json::json!({ "allow": rule("allow"), "deny": rule("deny") });
    serde_json::json!({ "decision_id": "1", "result": result }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn opa_policy() {
    let server = OpaServer::start(Answer::Decided(decided)).await;
    let fresh = async || {
        let mut config = OpaConfig::new(server.url(), DataPath::parse("mcp/reference").unwrap());
        config.http.timeout = Duration::from_secs(20);
        Arc::new(OpaPolicy::new(config, Arc::new(SystemClock)).unwrap()) as Arc<dyn Policy>
    };
    if let Some(failures) = conformance::run(POLICY, fresh).await.failures() {
        panic!("{failures}");
    }
}

fn asked(tenant_id: &str) -> (Scope, PolicyRequest) {
    let scope = scope_of(tenant_id).unwrap();
    let access = Access::new(CALL, Resource::of(&scope, "tool", "echo").unwrap());
    let request = PolicyRequest::new(&scope, &Granted::default(), access);
    (scope, request)
}

fn policy(server: &OpaServer, path: &str, clock: &ManualClock) -> OpaPolicy {
    let mut config = OpaConfig::new(server.url(), DataPath::parse(path).unwrap());
    config.http.timeout = Duration::from_millis(500);
    OpaPolicy::new(config, Arc::new(clock.clone())).unwrap()
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000))
}

#[tokio::test]
async fn a_policy_server_that_fails_slows_or_lies_gets_nobody_in() {
    let (scope, request) = asked("acme");
    for answer in [
        Answer::Silence,
        Answer::Fixed(500, r#"{"result": true}"#),
        Answer::Fixed(404, r#"{"result": true}"#),
        Answer::Fixed(302, r#"{"result": true}"#),
        Answer::Fixed(200, "true"),
        Answer::Fixed(200, ""),
        Answer::Fixed(200, r#"{"result": "true"}"#),
        Answer::Fixed(200, r#"{"result": true"#),
        Answer::Huge,
    ] {
        let server = OpaServer::start(answer).await;
        let policy = policy(&server, "mcp/authz", &clock());
        let error = decide(&policy, &scope, &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{answer:?}: {error:?}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
    let gone = OpaServer::start(Answer::Silence).await;
    let policy = policy(&gone, "mcp/authz", &clock());
    gone.stop().await;
    assert_eq!(decide(&policy, &scope, &request).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_decision_is_remembered_for_its_time_its_tenant_and_its_request() {
    let server = OpaServer::start(Answer::Fixed(200, r#"{"result": {"allow": true}}"#)).await;
    let clock = clock();
    let policy = policy(&server, "mcp/authz", &clock);
    let (scope, request) = asked("acme");
    for _ in 0..3 {
        assert!(decide(&policy, &scope, &request).await.unwrap().allowed);
    }
    assert_eq!(server.paths().len(), 1);
    let (other_scope, other) = asked("beta");
    assert!(decide(&policy, &other_scope, &other).await.unwrap().allowed);
    let mut wider = request.clone();
    wider.access.resource.id = "other".into();
    assert!(decide(&policy, &scope, &wider).await.unwrap().allowed);
    assert_eq!(server.paths().len(), 3);

    server.answer(Answer::Fixed(200, r#"{"result": {"allow": false}}"#));
    clock.advance(Duration::from_millis(4_999));
    assert!(decide(&policy, &scope, &request).await.unwrap().allowed, "remembered for five seconds");
    clock.advance(Duration::from_millis(1));
    assert!(!decide(&policy, &scope, &request).await.unwrap().allowed, "and no longer");
    server.answer(Answer::Fixed(500, ""));
    assert!(!decide(&policy, &scope, &request).await.unwrap().allowed);
    clock.advance(Duration::from_secs(6));
    assert!(decide(&policy, &scope, &request).await.is_err(), "an old decision was used");
}
