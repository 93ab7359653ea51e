//! Local models behind the wires that clients of others speak: OpenAI's official one, and plain HTTP.

use std::{path::PathBuf, process::Command};

use crate::support::{Served, http::Attempt, tools};
use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

const REFERENCE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../mcp-inference/tests/data/minilm_reference_embeddings.json");

const CLIENT: &str = r#"
import json, os, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key=os.environ["KEY"], max_retries=0)
sentences = json.load(open(sys.argv[2]))["sentences"]
answer = client.embeddings.create(model="minilm", input=sentences)
try:
    client.embeddings.create(model="minlm", input="x")
    unknown = "no error"
except openai.NotFoundError as error:
    unknown = error.message
try:
    openai.OpenAI(base_url=sys.argv[1], api_key="wrong", max_retries=0).models.list()
    stranger = "no error"
except openai.AuthenticationError as error:
    stranger = error.type
print(json.dumps({
    "embeddings": [item.embedding for item in answer.data],
    "tokens": answer.usage.total_tokens,
    "models": [model.id for model in client.models.list()],
    "unknown": unknown,
    "stranger": stranger,
}))
"#;

/// The folder that `cargo xtask model` filled.
fn models() -> PathBuf {
    std::env::var_os("MCP_TEST_MODELS").map(PathBuf::from).expect(
        "MCP_TEST_MODELS is not set: `cargo xtask test` makes the models and sets it; `cargo xtask model NAME --out DIR` \
         makes one by hand",
    )
}

fn serve() -> (Served, Secret<String>) {
    let config = format!("[inference]\nmodels_dir = {:?}\n", models());
    let served = Served::start(&json!({}), &config);
    let token = served.tenant("acme");
    (served, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_openai_client_gets_the_embeddings_of_the_reference() {
    let (served, token) = serve();
    let done = Command::new(tools().join("openai/bin/python"))
        .args(["-c", CLIENT, &served.url.replace("/mcp", "/v1"), REFERENCE])
        .env("KEY", token.expose())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(REFERENCE).unwrap()).unwrap();
    let expected = reference["embeddings"].as_array().unwrap();
    assert_eq!(said["embeddings"].as_array().unwrap().len(), expected.len());
    for (ours, theirs) in said["embeddings"].as_array().unwrap().iter().zip(expected) {
        assert_eq!(ours.as_array().unwrap().len(), 384);
        for (ours, theirs) in ours.as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
            assert!((ours.as_f64().unwrap() - theirs.as_f64().unwrap()).abs() < 1e-5);
        }
    }
    assert_eq!(said["models"], json!(["minilm"]));
    assert!(said["unknown"].as_str().unwrap().contains("did you mean `minilm`?"), "{said}");
    assert_eq!(said["stranger"], "authentication_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classifier_answers_the_open_inference_protocol_and_strangers_get_its_errors() {
    let (served, token) = serve();
    let url = |path: &str| served.url.replace("/mcp", path);
    let data: Vec<i32> = b"import os\nprint(os.environ)\n".iter().map(|byte| i32::from(*byte)).collect();
    let data: Vec<i32> = data.into_iter().chain(std::iter::repeat(256)).take(2048).collect();
    let request = json!({
        "inputs": [{ "name": "bytes", "shape": [1, 2048], "datatype": "INT32", "data": data }],
    });
    let infer = || Attempt::new(Method::POST, &url("/v2/models/magika/infer")).body(request.to_string());
    let answer = infer().bearer(token.expose()).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let output = &answer.json()["outputs"][0];
    assert_eq!((&output["name"], &output["shape"]), (&json!("target_label"), &json!([1, 214])));

    let stranger = infer().send().await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.headers["content-type"], "application/json");
    assert!(stranger.json()["error"].is_string(), "{stranger:?}");
}
