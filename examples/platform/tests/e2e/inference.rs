//! Local models behind the wires that clients of others speak: OpenAI's official one, and plain HTTP.

use std::process::Command;

use crate::support::{
    Served,
    api::metrics,
    bounded::{self, LONG},
    http::Attempt,
    models, tools,
};
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

/// Where these stand in the `target_labels_space` of the model's own configuration.
const PYTHON_LABEL: usize = 143;
const RUST_LABEL: usize = 156;
const PYTHON_PROGRAM: &str = "import os\nimport sys\n\n\ndef main(argv):\n    for name in argv[1:]:\n        \
     with open(name) as file:\n            print(len(file.read()))\n\n\nif __name__ == '__main__':\n    \
     main(sys.argv)\n";
const RUST_PROGRAM: &str = "use std::collections::HashMap;\n\n#[derive(Debug)]\nstruct Point {\n    x: i32,\n    \
     y: i32,\n}\n\nfn main() {\n    let mut seen: HashMap<i32, Point> = HashMap::new();\n    \
     seen.insert(1, Point { x: 1, y: 2 });\n    println!(\"{seen:?}\");\n}\n";

/// What the model looks at: the first and the last 1,024 bytes, with 256 where there are none.
fn ends(text: &str) -> Vec<i32> {
    let bytes = || text.trim().bytes().map(i32::from);
    let rest = 1024 - bytes().len();
    let padding = || std::iter::repeat_n(256, rest);
    bytes().chain(padding()).chain(padding()).chain(bytes()).collect()
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
    let operator = served.operator_key();
    let of_operator = |method: Method, path: &str| {
        Attempt::new(method, &served.api(&format!("/operator/tenants/acme{path}"))).bearer(operator.expose())
    };
    for meter in ["models.calls", "embeddings.tokens"] {
        let limit = json!({ "subject": "tenant", "meter": meter, "period": "day", "amount": 1_000_000 });
        let set = of_operator(Method::PUT, "/quotas").body(limit.to_string()).send().await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
    }
    let mut client = Command::new(tools().join("openai/bin/python"));
    client.args(["-c", CLIENT, &served.url.replace("/mcp", "/v1"), REFERENCE]).env("KEY", token.expose());
    let done = bounded::output(&mut client, LONG);
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
    // Counted as the model counts; what it refused is not.
    let usage = of_operator(Method::GET, "/usage").send().await.json();
    let used: Vec<&Value> = usage["items"].as_array().unwrap().iter().map(|item| &item["used"]).collect();
    assert_eq!(used, [&said["tokens"], &json!(1)], "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classifier_answers_the_open_inference_protocol_and_strangers_get_its_errors() {
    let (served, token) = serve();
    let url = |path: &str| served.url.replace("/mcp", path);
    let ask = |text: &str| {
        let input = json!({ "name": "bytes", "shape": [1, 2048], "datatype": "INT32", "data": ends(text) });
        let request = json!({ "inputs": [input] });
        Attempt::new(Method::POST, &url("/v2/models/magika/infer")).body(request.to_string())
    };
    for (text, label) in [(PYTHON_PROGRAM, PYTHON_LABEL), (RUST_PROGRAM, RUST_LABEL)] {
        let answer = ask(text).bearer(token.expose()).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let output = &answer.json()["outputs"][0];
        assert_eq!((&output["name"], &output["shape"]), (&json!("target_label"), &json!([1, 214])));
        let scores = output["data"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap());
        let likeliest = scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(likeliest.0, label, "{likeliest:?}");
    }

    let figures = metrics(&served).await;
    let counted = "mcp_inference_requests_total{operation=\"infer\",model=\"magika\",outcome=\"done\"} 2";
    assert!(figures.contains(counted), "{figures}");

    let stranger = ask(RUST_PROGRAM).send().await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.headers["content-type"], "application/json");
    assert!(stranger.json()["error"].is_string(), "{stranger:?}");
}
