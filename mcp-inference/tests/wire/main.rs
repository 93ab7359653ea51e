//! The wire, as clients of OpenAI's API and of the Open Inference Protocol speak it, over real models.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex},
};

use axum::{Router, body::Body};
use base64::Engine as _;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use mcp_core::{
    Error, Scope,
    audit::{AuditRecord, Chain, DenialLog},
    clock::SystemClock,
    layer::RescueLayer,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_inference::{
    cpu::CpuPool,
    http_api::{InferenceApi, oip_error, openai_error, routes},
    model::ModelRegistry,
    router::{Router as ChatRouter, RouterConfig},
};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _};

#[derive(Debug, Default)]
struct Denials(Mutex<Vec<String>>);

impl DenialLog for Denials {
    fn denied(&self, _: Chain, record: AuditRecord) {
        self.0.lock().unwrap().push(record.resource);
    }
}

static DENIALS: LazyLock<Arc<Denials>> = LazyLock::new(Arc::default);

fn app() -> Router {
    static MODELS: LazyLock<Arc<ModelRegistry>> = LazyLock::new(|| {
        let folder = std::env::var_os("MCP_TEST_MODELS").map(PathBuf::from).expect(
            "MCP_TEST_MODELS is not set: `cargo xtask test` makes the models and sets it; `cargo xtask model NAME --out DIR` \
             makes one by hand",
        );
        Arc::new(ModelRegistry::load(&folder, &CpuPool::start(2, 64).unwrap()).unwrap())
    });
    let router = ChatRouter::new(RouterConfig::default(), Vec::new(), Arc::new(SystemClock)).unwrap();
    routes(InferenceApi { models: MODELS.clone(), router, denials: DENIALS.clone(), quota: None })
}

/// The answer to a request by a principal with these permissions.
async fn ask(permission: &str, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let principal = Principal {
        id: PrincipalId::parse("tester").unwrap(),
        kind: PrincipalKind::Service,
        permissions: Permissions::parse([permission]).unwrap(),
    };
    let scope = Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal));
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.extensions_mut().unwrap().insert(scope);
    let request = request.body(Body::from(body.to_string())).unwrap();
    let rescue = RescueLayer::default().body_under("/v1", openai_error).body_under("/v2", oip_error);
    let app = app().into_service::<Body>();
    let app = rescue.layer(tower::util::MapErr::new(app, Error::from));
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))))
}

async fn post(path: &str, body: Value) -> (StatusCode, Value) {
    ask("models:use", "POST", path, &body).await
}

async fn get(path: &str) -> (StatusCode, Value) {
    ask("models:use", "GET", path, &Value::Null).await
}

#[tokio::test]
async fn embeddings_come_as_numbers_or_as_base64_and_are_those_of_the_reference() {
    let reference: Value =
        serde_json::from_str(include_str!("../data/minilm_reference_embeddings.json")).unwrap();
    let request = |format: &str| json!({ "model": "minilm", "input": reference["sentences"], "encoding_format": format });
    let (status, numbers) = post("/v1/embeddings", request("float")).await;
    assert_eq!(status, StatusCode::OK, "{numbers}");
    let (_, text) = post("/v1/embeddings", request("base64")).await;
    for (at, expected) in reference["embeddings"].as_array().unwrap().iter().enumerate() {
        let (number, text) = (&numbers["data"][at], &text["data"][at]);
        assert_eq!(
            (number["object"].as_str(), number["index"].as_u64()),
            (Some("embedding"), Some(at as u64))
        );
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(text["embedding"].as_str().unwrap()).unwrap();
        let values: Vec<_> =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(values.len(), 384);
        for (place, value) in values.iter().enumerate() {
            let wanted = expected[place].as_f64().unwrap();
            assert!((f64::from(*value) - wanted).abs() < 1e-5);
            assert!((number["embedding"][place].as_f64().unwrap() - wanted).abs() < 1e-5);
        }
    }
    assert_eq!(numbers["usage"]["prompt_tokens"], numbers["usage"]["total_tokens"]);
    let (_, one) =
        post("/v1/embeddings", json!({ "model": "minilm", "input": "A man is eating food." })).await;
    assert_eq!(one["usage"]["total_tokens"], 8);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_openais_words() {
    for (body, status, param, wanted) in [
        (json!({ "model": "minlm", "input": "x" }), 404, Value::Null, "did you mean `minilm`?"),
        (json!({ "model": "magika", "input": "x" }), 400, Value::Null, "does not embed texts"),
        (json!({ "model": "minilm", "input": [1, 2] }), 400, json!("input"), "tokens are not taken"),
        (json!({ "model": "minilm", "input": [] }), 400, json!("input"), "1 to 2048"),
        (
            json!({ "model": "minilm", "input": "x", "dimensions": 3 }),
            400,
            json!("dimensions"),
            "384 dimensions",
        ),
        (
            json!({ "model": "minilm", "input": "x", "encoding": "y" }),
            400,
            Value::Null,
            "unknown field `encoding`",
        ),
    ] {
        let (found, answer) = post("/v1/embeddings", body).await;
        let error = &answer["error"];
        assert_eq!(found.as_u16(), status, "{answer}");
        assert!(error["message"].as_str().unwrap().contains(wanted), "{wanted:?} not in {answer}");
        assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &param), "{answer}");
    }
}

#[tokio::test]
async fn a_caller_without_the_permission_is_refused_on_each_wire_and_the_refusal_is_recorded() {
    let (status, answer) =
        ask("tools:call", "POST", "/v1/embeddings", &json!({ "model": "minilm", "input": "x" })).await;
    assert_eq!((status, &answer["error"]["type"]), (StatusCode::FORBIDDEN, &json!("permission_error")));
    let (status, answer) = ask("tools:call", "GET", "/v2/models/magika", &Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(answer["error"].as_str().unwrap().contains("models:use"), "{answer}");
    let denied = DENIALS.0.lock().unwrap().clone();
    assert!(denied.contains(&"model/minilm".to_owned()) && denied.contains(&"model/magika".to_owned()));
}

#[tokio::test]
async fn models_that_embed_are_listed() {
    let (status, list) = get("/v1/models").await;
    assert_eq!((status, &list["object"]), (StatusCode::OK, &json!("list")));
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, [json!("minilm")]);
    assert_eq!(get("/v1/models/minilm").await.1["object"], "model");
    assert_eq!(get("/v1/models/nothing").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_classifier_is_looked_at_and_asked_by_the_open_inference_protocol() {
    let (_, metadata) = get("/v2/models/magika").await;
    assert_eq!(metadata["platform"], "onnx_tract");
    assert_eq!(metadata["versions"], json!(["1"]));
    assert_eq!(metadata["inputs"], json!([{ "name": "bytes", "datatype": "INT32", "shape": [1, 2048] }]));
    assert_eq!(get("/v2/models/magika/versions/1").await.1, metadata);
    assert_eq!(get("/v2/models/magika/ready").await.1, json!({ "name": "magika", "ready": true }));
    assert_eq!(get("/v2/models/minilm").await.1["inputs"][0]["shape"], json!([-1, -1]));
    assert_eq!(get("/v2/health/live").await.0, StatusCode::OK);
    assert_eq!(get("/v2/health/ready").await.1, json!({ "ready": true }));

    let data: Vec<i32> = "fn main() { println!(\"hello\"); }"
        .bytes()
        .map(i32::from)
        .chain(std::iter::repeat(256))
        .take(2048)
        .collect();
    let input = |shape: Value| json!({ "name": "bytes", "shape": shape, "datatype": "INT32", "data": data });
    let path = "/v2/models/magika/versions/1/infer";
    let (status, answer) = post(path, json!({ "id": "7", "inputs": [input(json!([1, 2048]))] })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        (&answer["model_name"], &answer["model_version"], &answer["id"]),
        (&json!("magika"), &json!("1"), &json!("7"))
    );
    let scores = &answer["outputs"][0];
    assert_eq!((&scores["name"], &scores["datatype"]), (&json!("target_label"), &json!("FP32")));
    let sum: f64 = scores["data"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-3, "scores sum to {sum}");

    for (path, body, status, wanted) in [
        (path, json!({ "inputs": [input(json!([2, 1024]))] }), 400, "the model expects INT32 [1, 2048]"),
        (path, json!({ "inputs": [] }), 400, "`bytes` is missing"),
        (
            path,
            json!({ "inputs": [input(json!([1, 2048]))], "outputs": [{ "name": "x" }] }),
            400,
            "it gives target_label",
        ),
        (path, json!({ "input": [] }), 400, "unknown field `input`"),
        ("/v2/models/magika/versions/2/infer", json!({ "inputs": [] }), 404, "it has 1"),
        ("/v2/models/magik/infer", json!({ "inputs": [] }), 404, "did you mean `magika`?"),
    ] {
        let (found, answer) = post(path, body).await;
        assert_eq!(found.as_u16(), status, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(wanted), "{wanted:?} not in {answer}");
    }
}
