//! The life of tenants, as operators and tenants meet it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{
    Served,
    bounded::{until, within},
    database::{Database, on_every_database},
    files_with,
    http::{Answer, Attempt},
    processes::eventually,
};

on_every_database!(a_deletion_reaches_another_replica_within_a_second);

const CONFIG: &str = "[tenants]\ngrace_days = 7\nerase_interval_seconds = 1\nsettle_seconds = 1\n\
                      region_directories = { eu-west-1 = \"eu\" }\n";

/// In all that a tenant writes, and in nothing else.
const MARKER: &str = "nobody but the tenant wrote this";

struct Operator {
    base: String,
    key: String,
}

impl Operator {
    fn of(served: &Served) -> Self {
        Self { base: served.api("/operator"), key: served.operator_key().expose().clone() }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Attempt::new(method, &format!("{}{path}", self.base)).bearer(&self.key).body(body).send().await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &Value::Null).await
    }

    async fn create(&self, tenant: &Value) -> Value {
        let made = self.ask(Method::POST, "/tenants", tenant).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.json()
    }

    /// The text of a new key that may do everything in the tenant.
    async fn key(&self, tenant: &str) -> String {
        let key = json!({ "name": "ci", "principal": "robot", "permissions": ["*"] });
        let key = self.ask(Method::POST, &format!("/tenants/{tenant}/keys"), &key).await;
        assert_eq!(key.status, StatusCode::CREATED, "{key:?}");
        key.json()["secret"].as_str().unwrap().to_owned()
    }

    async fn listed(&self, query: &str) -> Vec<String> {
        let answer = self.get(&format!("/tenants?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn files(served: &Served, directory: &str, tenant: &str) -> usize {
    let directory = served.path().join(directory).join("tenants");
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(&format!("{tenant}.db"))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_is_deleted_restored_deleted_again_and_erased_with_its_projects() {
    let mut served = Served::start(&json!({}), CONFIG);
    let operator = Operator::of(&served);
    operator.create(&json!({ "id": "acme", "name": "Acme Corp", "region": "eu-west-1" })).await;
    let web = operator.create(&json!({ "id": "acme-web", "name": "Web", "parent": "acme" })).await;
    assert_eq!(web["parent"], "acme");
    operator.create(&json!({ "id": "globex", "name": "Globex" })).await;
    let (acme, web, globex) =
        (operator.key("acme").await, operator.key("acme-web").await, operator.key("globex").await);
    let call = |key: &str, method: Method, path: &str| {
        let body = if method == Method::POST { r#"{"data":{"conversation_history":[]}}"# } else { "" };
        Attempt::new(method, &served.api(path)).bearer(key).body(body).send()
    };
    for key in [&acme, &web, &globex] {
        assert_eq!(call(key, Method::POST, "/contexts").await.status, StatusCode::CREATED);
    }
    for key in [&acme, &web] {
        remember(&served, key).await;
    }
    assert!(files_with(served.path(), MARKER).len() >= 2, "what is looked for later is not there");
    // A credential of the organisation reaches nothing of its project.
    let across = call(&acme, Method::GET, "/tenants/acme-web").await;
    assert_eq!(across.status, StatusCode::FORBIDDEN, "{across:?}");
    assert!(files(&served, "eu", "acme") > 0 && files(&served, "mcp-platform-data", "acme") == 0);
    assert_eq!(operator.listed("parent=acme").await, ["acme-web"]);

    let deleted = operator.ask(Method::DELETE, "/tenants/acme", &Value::Null).await;
    assert_eq!((deleted.status, &deleted.json()["status"]), (StatusCode::OK, &json!("deleting")));
    let times = deleted.json()["deletion"].clone();
    assert!(times["erase_after"].as_str() > times["deleted_at"].as_str(), "{times}");
    for (key, why) in [(&acme, "deleted"), (&web, "organisation")] {
        let refused = call(key, Method::GET, "/contexts").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains(why), "{refused:?}");
    }
    assert_eq!(operator.listed("status=deleting").await, ["acme"]);
    assert_eq!(operator.get("/tenants/acme/receipt").await.status, StatusCode::NOT_FOUND);
    let suspend = operator.ask(Method::POST, "/tenants/acme/suspend", &Value::Null).await;
    assert_eq!(suspend.status, StatusCode::CONFLICT, "{suspend:?}");

    let restored = operator.ask(Method::POST, "/tenants/acme/restore", &Value::Null).await;
    assert_eq!((restored.status, &restored.json()["status"]), (StatusCode::OK, &json!("active")));
    for key in [&acme, &web] {
        assert_eq!(call(key, Method::GET, "/contexts").await.status, StatusCode::OK);
    }

    let long = operator.ask(Method::DELETE, "/tenants/acme?grace_days=3651", &Value::Null).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST, "{long:?}");
    let gone = operator.ask(Method::DELETE, "/tenants/acme?grace_days=0", &Value::Null).await;
    assert_eq!(gone.status, StatusCode::OK, "{gone:?}");
    let file = || files(&served, "eu", "acme");
    eventually("the organisation's file is there", Duration::from_secs(60), || file() == 0);
    // The rest is a moment; not more often, as operators have a limit too.
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let erased = async {
        while operator.get("/tenants/acme/receipt").await.status != StatusCode::OK {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), erased).await.expect("there is no receipt");
    for tenant in ["acme", "acme-web"] {
        let receipt = operator.get(&format!("/tenants/{tenant}/receipt")).await.json();
        let database = receipt["steps"].as_array().unwrap().iter().find(|step| step["name"] == "database");
        let counts = &database.unwrap()["erased"]["counts"];
        assert_eq!((&counts["context"], &counts["api_key"]), (&json!(2), &json!(1)), "{receipt}");
        assert_eq!((&counts["role"], &counts["policy_version"]), (&json!(1), &json!(1)), "{receipt}");
        assert_eq!(operator.get(&format!("/tenants/{tenant}")).await.json()["status"], "erased");
        let again = json!({ "id": tenant, "name": "Again" });
        let again = operator.ask(Method::POST, "/tenants", &again).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{again:?}");
    }
    for directory in ["eu", "mcp-platform-data"] {
        assert_eq!(files(&served, directory, "acme"), 0);
    }
    for key in [&acme, &web] {
        assert_eq!(call(key, Method::GET, "/contexts").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(call(&globex, Method::GET, "/contexts").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(operator.listed("status=erased").await, ["acme", "acme-web"]);

    // The chains that are gone are no problem: the platform's own says that they were erased.
    let verified = operator.ask(Method::POST, "/audit/verify", &Value::Null).await;
    assert_eq!(verified.status, StatusCode::OK, "{verified:?}");
    assert_eq!(verified.json()["problems"], json!([]), "{verified:?}");

    // And so it is in every file, once nothing is written any more.
    assert!(served.stop().success());
    assert_eq!(files_with(served.path(), MARKER), Vec::<PathBuf>::new());
}

/// What the tenant of `key` writes, with [`MARKER`] in all of it.
async fn remember(served: &Served, key: &str) {
    let write = async |method: Method, path: &str, body: Value| {
        let answer = Attempt::new(method, &served.api(path)).bearer(key).body(body.to_string()).send().await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    };
    write(Method::POST, "/contexts", json!({ "data": { "plan": MARKER } })).await;
    write(Method::POST, "/memories", json!({ "namespace": "user/u1", "text": MARKER })).await;
    write(Method::PUT, "/roles/viewer", json!({ "description": MARKER })).await;
    let text = format!("// {MARKER}\npermit (principal, action, resource);");
    write(Method::POST, "/policies", json!({ "language": "cedar", "text": text, "note": MARKER })).await;
}

/// What tenants are told. Five times, of which most: a busy machine may hold up one.
async fn a_deletion_reaches_another_replica_within_a_second(database: &Database) {
    let one = database.serve(&json!({}), "operator_requests_per_minute = 1000000\n");
    let two = one.replica();
    let operator = Operator::of(&one);
    operator
        .create(&json!({ "id": "acme", "name": "Acme", "limits": { "requests_per_minute": 1_000_000 } }))
        .await;
    let key = operator.key("acme").await;
    let ask = |path: &str| Attempt::new(Method::GET, &two.api(path)).bearer(&key);
    let mut took = Vec::new();
    for round in 0..5 {
        until("the other replica serves the tenant", async || {
            ask("/contexts").send().await.status == StatusCode::OK
        })
        .await;
        let stream = ask("/events").instead("accept", "text/event-stream").open().await;
        assert_eq!(stream.status(), StatusCode::OK);
        let deleted = operator.ask(Method::DELETE, "/tenants/acme", &Value::Null).await;
        assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
        let told = Instant::now();
        let refused = loop {
            let answer = ask("/contexts").send().await;
            if answer.status != StatusCode::OK {
                break answer;
            }
            assert!(told.elapsed() < Duration::from_secs(10), "the other replica serves it still");
        };
        took.push(told.elapsed());
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{round}: {refused:?}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("deleted"), "{refused:?}");
        // A stream that was open there ends, well or not.
        let _ = within("the stream's end", stream.into_body().collect()).await;
        let restored = operator.ask(Method::POST, "/tenants/acme/restore", &Value::Null).await;
        assert_eq!(restored.status, StatusCode::OK, "{restored:?}");
    }
    took.sort_unstable();
    assert!(took[2] < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_region_and_a_wrong_parent_are_refused() {
    let served = Served::start(&json!({}), CONFIG);
    let operator = Operator::of(&served);
    let far = json!({ "id": "far", "name": "Far", "region": "us-east-1" });
    let refused = operator.ask(Method::POST, "/tenants", &far).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`us-east-1`") && detail.contains("`eu-west-1`, `local`"), "{detail}");
    let lonely = json!({ "id": "web", "name": "Web", "parent": "nobody" });
    let refused = operator.ask(Method::POST, "/tenants", &lonely).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    let misspelt = operator.get("/tenants?statsu=active").await;
    assert_eq!(misspelt.status, StatusCode::BAD_REQUEST, "{misspelt:?}");
}

/// A deployment whose configuration no longer serves a region refuses the tenants that live there, before anything of
/// theirs is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_a_region_that_is_served_elsewhere_is_refused() {
    let mut served = Served::start(&json!({}), CONFIG);
    let operator = Operator::of(&served);
    operator.create(&json!({ "id": "acme", "name": "Acme", "region": "eu-west-1" })).await;
    let key = operator.key("acme").await;
    served.kill();
    let file = served.path().join("mcp-platform.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let config = config.replace("region_directories = { eu-west-1 = \"eu\" }\n", "");
    std::fs::write(&file, config).unwrap();
    served.run();
    let refused = Attempt::new(Method::GET, &served.api("/contexts")).bearer(&key).send().await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("`eu-west-1`"), "{refused:?}");
}
