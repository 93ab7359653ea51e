//! Foreign issuers through the running platform: declared over REST, a real identity provider behind them.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::Caller,
    http::{Answer, Attempt},
    provider::{Provider, RESOURCE},
};

fn served() -> Served {
    let served = Served::start(&json!({}), "");
    for tenant in ["acme", "beta"] {
        served.command(&["tenant", "create", tenant, "--requests-per-minute", "1000000"]);
    }
    served
}

fn caller(served: &Served, tenant: &str, permissions: &[&str]) -> Caller {
    let given = permissions.iter().flat_map(|permission| ["--permission", permission]);
    let create: Vec<&str> = ["key", "create", tenant].into_iter().chain(given).collect();
    let key = served.command(&create)["key"].as_str().unwrap().to_owned();
    Caller::new(served, &Secret::new(key))
}

async fn operate(served: &Served, method: Method, path: &str, body: &Value) -> Answer {
    let operator = served.operator_key();
    let attempt = Attempt::new(method, &served.api(&format!("/operator{path}"))).bearer(operator.expose());
    attempt.body(if body.is_null() { String::new() } else { body.to_string() }).send().await
}

/// What its scope is worth here: listing tools, too.
fn grants() -> Value {
    json!({ "tools:call": ["tools:*"] })
}

fn declaration(url: &str) -> Value {
    json!({ "spec": { "url": url, "check": { "kind": "jwt" } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_issuers_tokens_speak_for_the_tenant_they_name_until_it_is_removed() {
    let (provider, served) = (Provider::start(), served());
    let (robot, other) = (provider.token("robot").await, provider.token("other").await);
    let list = async |token: &str, tenant: &str| {
        let attempt = Attempt::list(&served.url).bearer(token).header("x-tenant-id", tenant);
        attempt.send().await.status
    };
    assert_eq!(list(&robot, "acme").await, StatusCode::UNAUTHORIZED, "nobody declared the issuer");
    let spec = json!({
        "url": provider.issuer, "audiences": [RESOURCE], "check": { "kind": "jwt" },
        "claims": { "tenant": "tenant", "grants": grants() }, "private_addresses": true,
    });
    let made = operate(&served, Method::POST, "/issuers", &json!({ "id": "idp", "spec": spec })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!((list(&robot, "acme").await, list(&other, "beta").await), (StatusCode::OK, StatusCode::OK));
    for (token, tenant) in [(&robot, "beta"), (&other, "acme"), (&robot, "nowhere")] {
        assert_eq!(list(token, tenant).await, StatusCode::FORBIDDEN, "{tenant}");
    }

    // The state of the issuer is for operators to see.
    let ready = Attempt::new(Method::GET, &format!("{}/ready", served.operations)).send().await.json();
    assert_eq!((&ready["issuers"][0]["id"], &ready["issuers"][0]["state"]), (&json!("idp"), &json!("fresh")));
    assert_eq!((&ready["issuers_fresh"], &ready["revocations_fresh"]), (&json!(true), &json!(true)));
    let metrics = crate::support::api::metrics(&served).await;
    assert!(metrics.contains("mcp_issuers{state=\"fresh\"}"), "{metrics}");

    // Its tokens can be ended here: one by its id, or all of a tenant.
    let acme = caller(&served, "acme", &["*"]);
    let ended = acme.post("/tokens/revoke-all", &Value::Null).await;
    assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
    assert_eq!(list(&robot, "acme").await, StatusCode::UNAUTHORIZED);
    assert_eq!(list(&other, "beta").await, StatusCode::OK, "another tenant's epoch");

    let removed = operate(&served, Method::DELETE, "/issuers/idp", &Value::Null).await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    assert_eq!(list(&other, "beta").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_issuer_reaches_no_other_tenant() {
    let (provider, served) = (Provider::start(), served());
    // Of `beta` alone, at a private address by the operator's leave; its tokens say of themselves that they are acme's.
    let spec = |tenant_claim: Value| {
        json!({
            "url": provider.issuer, "tenant": "beta", "audiences": [RESOURCE], "check": { "kind": "jwt" },
            "claims": { "tenant": tenant_claim, "grants": grants() }, "private_addresses": true,
        })
    };
    let body = json!({ "id": "theirs", "spec": spec(Value::Null) });
    assert_eq!(operate(&served, Method::POST, "/issuers", &body).await.status, StatusCode::CREATED);
    let robot = provider.token("robot").await;
    let list = async |tenant: Option<&str>| {
        let attempt = Attempt::list(&served.url).bearer(&robot);
        let attempt = tenant.into_iter().fold(attempt, |attempt, id| attempt.header("x-tenant-id", id));
        attempt.send().await.status
    };
    assert_eq!(list(Some("acme")).await, StatusCode::FORBIDDEN, "an issuer of beta speaks for acme");
    assert_eq!(list(None).await, StatusCode::OK, "it speaks for beta alone, whatever its tokens say");
    // Where it must say the tenant, a token that says another is nobody's.
    let changed =
        operate(&served, Method::PUT, "/issuers/theirs", &json!({ "spec": spec(json!("tenant")) })).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    for tenant in [None, Some("acme"), Some("beta")] {
        assert_eq!(list(tenant).await, StatusCode::UNAUTHORIZED, "{tenant:?}");
    }

    // Another tenant's issuer is one that does not exist.
    let acme = caller(&served, "acme", &["*"]);
    let unknown = acme.get("/issuers/unknown").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let foreign = acme.get("/issuers/theirs").await;
    assert_eq!((foreign.status, &foreign.body), (StatusCode::NOT_FOUND, &unknown.body));
    let put =
        acme.attempt(Method::PUT, "/issuers/theirs").body(declaration("https://login.example").to_string());
    assert_eq!(put.send().await.status, StatusCode::NOT_FOUND);
    let delete = acme.attempt(Method::DELETE, "/issuers/theirs").send().await;
    assert_eq!(delete.status, StatusCode::NOT_FOUND);
    assert_eq!(acme.get("/issuers").await.json()["items"], json!([]));
    // To its own tenant it shows, without a way to widen what the operator allowed.
    let beta = caller(&served, "beta", &["*"]);
    assert_eq!(beta.get("/issuers").await.json()["items"][0]["id"], "theirs");
    let put =
        beta.attempt(Method::PUT, "/issuers/theirs").body(declaration("https://login.example").to_string());
    assert_eq!(put.send().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_declares_changes_and_removes_its_own_issuer() {
    let served = served();
    let acme = caller(&served, "acme", &["*"]);
    let create = |key: &str, body: &Value| {
        acme.attempt(Method::POST, "/issuers").header("idempotency-key", key).body(body.to_string()).send()
    };
    let body = json!({
        "spec": {
            "url": "https://login.example", "check": { "kind": "introspection", "client_id": "platform" },
        },
        "secret": "hunter2-of-the-client",
    });
    let made = create("k1", &body).await;
    assert_eq!(
        (made.status, &made.headers["etag"]),
        (StatusCode::CREATED, &"\"1\"".parse().unwrap()),
        "{made:?}"
    );
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.json()["spec"]["tenant"], "acme");
    assert_eq!(made.json()["spec"]["audiences"][0], format!("http://{}/mcp", listen(&served)));
    assert_eq!(create("k1", &body).await.json(), made.json(), "trying again makes one issuer");
    assert_eq!(create("k2", &body).await.status, StatusCode::CONFLICT, "the URL is taken");
    // Another tenant may declare the same, and learns nothing of it.
    let beta = caller(&served, "beta", &["*"]);
    assert_eq!(beta.post("/issuers", &body).await.status, StatusCode::CREATED);

    let change = |version: &str, body: &Value| {
        let attempt = acme.attempt(Method::PUT, &format!("/issuers/{id}")).header("if-match", version);
        attempt.body(body.to_string()).send()
    };
    let mut changed = body.clone();
    changed["spec"]["claims"] = json!({ "ceiling": ["tools:*"] });
    assert_eq!(change("\"7\"", &changed).await.status, StatusCode::CONFLICT);
    let answer = change("\"1\"", &changed).await;
    assert_eq!((answer.status, &answer.headers["etag"]), (StatusCode::OK, &"\"2\"".parse().unwrap()));
    for shown in [acme.get("/issuers").await, acme.get(&format!("/issuers/{id}")).await, answer, made] {
        assert!(!String::from_utf8_lossy(&shown.body).contains("hunter2"), "{shown:?}");
    }
    for file in std::fs::read_dir(served.path().join("mcp-platform-data")).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let found = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!found, "the secret is in {}", file.path().display());
    }
    let removed = acme.attempt(Method::DELETE, &format!("/issuers/{id}")).send().await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    assert_eq!(acme.get(&format!("/issuers/{id}")).await.status, StatusCode::NOT_FOUND);
}

/// Where the platform listens as its configuration says: what its tokens are for.
fn listen(served: &Served) -> String {
    let config = served.try_command(&["config"]);
    let config = String::from_utf8(config.stdout).unwrap();
    config.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"').to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_may_not_declare_is_refused_and_audited() {
    let served = served();
    let acme = caller(&served, "acme", &["*"]);
    let with = |name: &str, value: Value| {
        let mut body = declaration("https://login.example");
        body["spec"][name] = value;
        body
    };
    for (body, said) in [
        (with("tenant", json!("beta")), "tenant"),
        (with("tenant", json!("acme")), "tenant"),
        (with("private_addresses", json!(true)), "private_addresses"),
        (declaration("http://login.example"), "https"),
        (declaration("https://login.example/?x"), "query"),
        (with("audiences", json!([""])), "audiences"),
        (with("check", json!({ "kind": "jwt", "algorithms": ["HS256"] })), "HS256"),
        (with("check", json!({ "kind": "introspection", "client_id": "c" })), "secret"),
    ] {
        let refused = acme.post("/issuers", &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains(said), "{body}: {refused:?}");
    }
    // Whoever declares an issuer says who its principals are and what they may do.
    for permissions in [
        &["issuers:read", "principals:assume"][..],
        &["issuers:write"],
        &["issuers:write", "principals:assume"],
        &["issuers:write", "principals:assume", "tools:call"],
    ] {
        let refused =
            caller(&served, "acme", permissions).post("/issuers", &declaration("https://a.example")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{permissions:?}: {refused:?}");
    }
    let enough = caller(&served, "acme", &["issuers:write", "principals:assume", "tools:call"]);
    let narrow = with("claims", json!({ "ceiling": ["tools:call"] }));
    assert_eq!(enough.post("/issuers", &narrow).await.status, StatusCode::CREATED);

    let began = Instant::now();
    loop {
        let log = acme.get("/audit").await.json();
        let denied = |record: &Value| record["action"] == "api.denied" && record["resource"] == "issuers";
        if log["items"].as_array().unwrap().iter().any(denied) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "the denials are not in the audit log");
    }
}
