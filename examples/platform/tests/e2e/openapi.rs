//! The OpenAPI document, and schemathesis, which holds the running platform to it.

use std::process::{Command, Output};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    Served,
    bounded::{self, LONG},
    http::Attempt,
    tools,
};

/// Every status, media type and body that the API answers must be one the document allows.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_public_and_names_every_way_in() {
    let served = Served::start(&json!({}), "");
    let answer = Attempt::new(Method::GET, &served.api("/openapi.json")).send().await;
    assert_eq!(answer.status, StatusCode::OK);
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["paths"]["/api/v1/operator/tenants"]["post"]["security"],
        json!([{ "operator": [] }])
    );
    assert_eq!(document["paths"]["/api/v1/keys"]["get"]["security"][0], json!({ "tenant": [] }));
    // What the crates serve is in it too, on a path that is shared as well.
    let servers = &document["paths"]["/api/v1/operator/servers"];
    for (method, schema) in [("get", "Servers"), ("post", "Work")] {
        let status = if method == "get" { "200" } else { "202" };
        let body = &servers[method]["responses"][status]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(body, &format!("#/components/schemas/{schema}"), "{method}: {servers}");
    }
    let stream = &document["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"];
    assert!(stream["text/event-stream"].is_object(), "{stream}");
}

#[test]
fn schemathesis_finds_nothing_with_a_tenants_key() {
    let served = served();
    served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
    let key = served.command(&["key", "create", "acme"])["key"].as_str().unwrap().to_owned();
    // With ids made up it would see nothing but 404; with those that lists give it would revoke its own key.
    let (read, deleted) = (context(&served, &key), context(&served, &key));
    let made = || served.command(&["key", "create", "acme"])["id"].as_str().unwrap().to_owned();
    let (spare, rotated) = (made(), made());
    let issuer = issuer(&served, &key);
    parameters(
        &served,
        &[
            (r"^/api/v1/contexts/\{id\}", "^(GET|PATCH|POST)$", "id", &read),
            (r"^/api/v1/contexts/\{id\}", "^DELETE$", "id", &deleted),
            ("^/api/v1/keys/", "^DELETE$", "key", &spare),
            ("^/api/v1/keys/", "^POST$", "key", &rotated),
            ("^/api/v1/issuers/", "^(GET|PUT)$", "issuer", &issuer),
        ],
    );
    passed(&schemathesis(&served, &key, &["--exclude-path-regex", "^/api/v1/operator/"]));
}

#[test]
fn schemathesis_finds_nothing_with_an_operators_key() {
    let served = served();
    served.command(&["tenant", "create", "acme"]);
    served.command(&["tenant", "create", "spare"]);
    let key = served.operator_key();
    parameters(
        &served,
        &[
            (r"^/api/v1/operator/tenants/\{tenant\}", "^(GET|POST|PUT|PATCH)$", "tenant", "acme"),
            (r"^/api/v1/operator/tenants/\{tenant\}/", "^DELETE$", "tenant", "acme"),
            (r"^/api/v1/operator/tenants/\{tenant\}$", "^DELETE$", "tenant", "spare"),
        ],
    );
    passed(&schemathesis(&served, key.expose(), &["--include-path-regex", "^/api/v1/operator/"]));
}

/// What it makes up to be added must not be looked for in public registries.
fn served() -> Served {
    let nobody = "http://127.0.0.1:9";
    let config = format!(
        "operator_requests_per_minute = 1000000\n[releases]\nnpm_registry = \"{nobody}\"\npypi_index = \"{nobody}\"\n"
    );
    Served::start(&json!({}), &config)
}

/// The id of a new context with a message in it.
fn context(served: &Served, key: &str) -> String {
    let post = |path: &str, body: Value| {
        let attempt = Attempt::new(Method::POST, &served.api(path)).bearer(key).body(body.to_string());
        tokio::runtime::Runtime::new().unwrap().block_on(attempt.send())
    };
    let made = post("/contexts", json!({ "session_id": "s-1", "data": { "a": 1 } })).json();
    let id = made["context_id"].as_str().unwrap().to_owned();
    let messages = json!({ "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(post(&format!("/contexts/{id}/messages"), messages).status, StatusCode::CREATED);
    id
}

/// The id of a new issuer.
fn issuer(served: &Served, key: &str) -> String {
    let body = json!({ "spec": { "url": "https://login.example", "check": { "kind": "jwt" } } });
    let attempt = Attempt::new(Method::POST, &served.api("/issuers")).bearer(key).body(body.to_string());
    let made = tokio::runtime::Runtime::new().unwrap().block_on(attempt.send()).json();
    made["id"].as_str().unwrap().to_owned()
}

/// Lets schemathesis put a value for a variable of these paths, with these methods.
fn parameters(served: &Served, values: &[(&str, &str, &str, &str)]) {
    let one = |(paths, methods, name, value): &(&str, &str, &str, &str)| {
        format!(
            "[[operations]]\ninclude-path-regex = '{paths}'\ninclude-method-regex = '{methods}'\n\
             parameters = {{ \"path.{name}\" = \"{value}\" }}\n"
        )
    };
    let config: String = values.iter().map(one).collect();
    std::fs::write(served.path().join("schemathesis.toml"), config).unwrap();
}

/// The same cases in every run, and few enough for a minute.
fn schemathesis(served: &Served, key: &str, paths: &[&str]) -> Output {
    let mut command = Command::new(tools().join("schemathesis/bin/schemathesis"));
    command
        .args(["run", &served.api("/openapi.json"), "--header", &format!("Authorization: Bearer {key}")])
        .args(["--checks", CHECKS, "--seed", "20261123", "--max-examples", "12", "--workers", "1"])
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "30", "--no-color"])
        // Two ways in at once are refused, and half of the cases would be no more than that.
        .args(["--generation-database", "none", "--generation-with-security-parameters", "false"])
        .args(paths)
        .current_dir(served.path());
    bounded::output(&mut command, LONG)
}

fn passed(done: &Output) {
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    // It succeeds with nothing to do, too.
    assert!(said.contains("generated") && !said.contains(" 0 test cases"), "{said}");
    // Every operation it was to look at, it did.
    let count = |mark: &str| {
        let digits = said.split_once(mark).unwrap_or_else(|| panic!("{said}")).1.trim_start();
        digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(count("Selected:"), count("Tested:"), "{said}");
    assert!(count("Tested:") >= 17, "{said}");
}
