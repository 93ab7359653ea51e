//! The OpenAPI document, and schemathesis, which holds the running platform to it.

use std::process::{Command, Output};

use http::{Method, StatusCode};
use serde_json::json;

use crate::support::{Served, http::Attempt, tools};

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
}

#[test]
fn schemathesis_finds_nothing_with_a_tenants_key() {
    let served = served();
    served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
    let key = served.command(&["key", "create", "acme"])["key"].as_str().unwrap().to_owned();
    passed(&schemathesis(&served, &key, &["--exclude-path-regex", "^/api/v1/operator/"]));
}

#[test]
fn schemathesis_finds_nothing_with_an_operators_key() {
    let served = served();
    served.command(&["tenant", "create", "acme"]);
    let key = served.operator_key();
    passed(&schemathesis(&served, key.expose(), &["--include-path-regex", "^/api/v1/operator/"]));
}

fn served() -> Served {
    Served::start(&json!({}), "operator_requests_per_minute = 1000000\n")
}

/// The same cases in every run, and few enough for a minute.
fn schemathesis(served: &Served, key: &str, paths: &[&str]) -> Output {
    let program = tools().join("schemathesis/bin/schemathesis");
    let mut command = Command::new(&program);
    command
        .args(["run", &served.api("/openapi.json"), "--header", &format!("Authorization: Bearer {key}")])
        .args(["--checks", CHECKS, "--seed", "20261123", "--max-examples", "12", "--workers", "1"])
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "30", "--no-color"])
        .args(["--generation-database", "none"])
        .args(paths)
        .current_dir(served.path());
    command
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask test` installs it", program.display()))
}

fn passed(done: &Output) {
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    // It succeeds with nothing to do, too.
    assert!(said.contains("generated") && !said.contains(" 0 test cases"), "{said}");
}
