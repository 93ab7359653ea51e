//! The API of operators, as operators and strangers meet it.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Served, fixture,
    http::{Answer, Attempt},
    processes::eventually,
};

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
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_runs_the_platform_over_rest() {
    let served = Served::start(&json!({ "fixture": fixture("operators", &[]) }), "");
    let operator = Operator { served: &served, key: served.operator_key().expose().clone() };

    let acme = json!({ "id": "acme", "name": "Acme Corp", "limits": { "requests_per_minute": 1000 } });
    let made = operator.ask(Method::POST, "/tenants", &acme).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.json()["limits"]["requests_per_minute"], 1000);
    let again = operator.ask(Method::POST, "/tenants", &acme).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("already_exists")));
    assert_eq!(operator.get("/tenants").await["items"][0]["id"], "acme");
    assert_eq!(operator.get("/tenants/acme").await["name"], "Acme Corp");

    let key = json!({ "name": "ci", "principal": "robot", "permissions": ["*"] });
    let key = operator.ask(Method::POST, "/tenants/acme/keys", &key).await;
    assert_eq!(key.status, StatusCode::CREATED, "{key:?}");
    let (id, secret) = (key.json()["id"].as_str().unwrap().to_owned(), key.json()["secret"].clone());
    let secret = secret.as_str().unwrap();
    let listed = operator.get("/tenants/acme/keys").await.to_string();
    assert!(listed.contains(&id) && !listed.contains(secret));
    let own = || Attempt::new(Method::GET, &served.api("/keys")).bearer(secret).send();
    assert_eq!(own().await.status, StatusCode::OK);

    operator.ask(Method::POST, "/tenants/acme/suspend", &Value::Null).await;
    assert_eq!(own().await.status, StatusCode::FORBIDDEN);
    operator.ask(Method::POST, "/tenants/acme/resume", &Value::Null).await;
    assert_eq!(own().await.status, StatusCode::OK);

    let call = json!({ "name": "fixture__echo", "arguments": { "message": "hello" } });
    let called = Attempt::call(&served.url, "tools/call", call).bearer(secret).send().await;
    assert_eq!(called.status, StatusCode::OK, "{called:?}");
    let servers = operator.get("/servers").await;
    assert_eq!(
        (&servers["items"][0]["tenant"], &servers["items"][0]["state"]),
        (&json!("acme"), &json!("ready"))
    );
    assert!(operator.get("/servers/fixture/logs?tenant=acme").await["lines"].is_array());
    let restarted = operator.ask(Method::POST, "/servers/fixture/restart?tenant=acme", &Value::Null).await;
    assert_eq!(restarted.status, StatusCode::ACCEPTED, "{restarted:?}");
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while operator.get("/servers").await["items"][0]["starts"] != 2 {
        assert!(tokio::time::Instant::now() < until, "it is not started again");
    }

    operator.ask(Method::DELETE, &format!("/tenants/acme/keys/{id}"), &Value::Null).await;
    assert_eq!(own().await.status, StatusCode::UNAUTHORIZED);

    let records = operator.get("/audit").await;
    let records: Vec<_> =
        records["items"].as_array().unwrap().iter().map(|record| &record["action"]).collect();
    for action in
        ["tenant.create", "key.create", "tenant.suspend", "tenant.resume", "server.restart", "key.revoke"]
    {
        assert!(records.contains(&&json!(action)), "{action} is not among {records:?}");
    }
    let done = operator.ask(Method::POST, "/audit/verify", &Value::Null).await;
    assert_eq!((done.status, &done.json()["problems"]), (StatusCode::OK, &json!([])), "{done:?}");
    assert!(operator.get("/tenants/acme/audit").await["items"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_above_tenants_and_operators_not_into_them() {
    let served = Served::start(&json!({}), "");
    let token = served.tenant("acme");
    let tenant_key = served.command(&["key", "create", "acme"])["key"].as_str().unwrap().to_owned();
    let operator = served.operator_key().expose().clone();
    let ask =
        |path: &str, credential: &str| Attempt::new(Method::GET, &served.api(path)).bearer(credential).send();
    for path in ["/operator", "/operator/tenants", "/operator/servers", "/operator/no/such/path"] {
        for credential in [token.expose(), &tenant_key, "mcpo_", "nonsense"] {
            assert_eq!(ask(path, credential).await.status, StatusCode::UNAUTHORIZED, "{path} {credential}");
        }
        let nobody = Attempt::new(Method::GET, &served.api(path)).send().await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(ask("/operator/no/such/path", &operator).await.status, StatusCode::NOT_FOUND);
    for path in ["/keys", "/tenants/acme", "/servers", "/audit", "/operators", "/operator%2Ftenants"] {
        assert_eq!(ask(path, &operator).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let named =
        Attempt::new(Method::GET, &served.api("/keys")).bearer(&operator).header("x-tenant-id", "acme");
    assert_eq!(named.send().await.status, StatusCode::UNAUTHORIZED);

    let listed = served.command(&["operator-key", "list"]);
    let id = listed[0]["id"].as_str().unwrap();
    served.command(&["operator-key", "revoke", id]);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        eventually("the key ends", Duration::from_secs(10), || {
            runtime.block_on(ask("/operator/tenants", &operator)).status == StatusCode::UNAUTHORIZED
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_gets_wrong_is_named() {
    let served = Served::start(&json!({}), "");
    let operator = Operator { served: &served, key: served.operator_key().expose().clone() };
    served.command(&["tenant", "create", "acme"]);
    for (method, path, body, status, said) in [
        (Method::POST, "/tenants", json!({ "id": "No", "name": "x" }), 400, "tenant"),
        (Method::POST, "/tenants", json!({ "id": "beta", "nam": "x" }), 400, "nam"),
        (Method::GET, "/tenants?limt=3", Value::Null, 400, "limt"),
        (Method::GET, "/tenants?cursor=%20", Value::Null, 400, "cursor"),
        (Method::GET, "/tenants/nowhere", Value::Null, 404, "nowhere"),
        (Method::GET, "/tenants/nowhere/keys", Value::Null, 404, "nowhere"),
        (Method::GET, "/tenants/nowhere/audit", Value::Null, 404, "nowhere"),
        (Method::POST, "/tenants/NoWhere/suspend", Value::Null, 404, "NoWhere"),
        (Method::DELETE, "/tenants/acme/keys/no-key", Value::Null, 404, "no-key"),
        (Method::GET, "/servers/nowhere/logs", Value::Null, 404, "nowhere"),
        (Method::POST, "/servers/nowhere/restart", Value::Null, 404, "nowhere"),
    ] {
        let answer = operator.ask(method, path, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(answer.json()["detail"].as_str().unwrap().contains(said), "{path} {body}: {answer:?}");
    }
}
