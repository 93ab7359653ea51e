//! What files get that are no good models: a refusal with the reason, and the models beside them unharmed.

use std::{fs, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use mcp_inference::model::{ModelEntry, ModelRegistry};
use prost::Message as _;
use serde_json::{Value, json};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use crate::support::{folder, pool, scope};

/// A model of one node after another, from `x` to `y`, f32 `[n]`.
fn graph(operators: &[&str]) -> Vec<u8> {
    let value = |name: &str| ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: 1,
                shape: Some(TensorShapeProto {
                    dim: vec![Dimension {
                        value: Some(dimension::Value::DimParam("n".into())),
                        ..Dimension::default()
                    }],
                }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let last = operators.len() - 1;
    let nodes = operators.iter().enumerate().map(|(at, operator)| NodeProto {
        op_type: (*operator).into(),
        name: format!("n{at}"),
        input: vec![if at == 0 { "x".into() } else { format!("t{}", at - 1) }],
        output: vec![if at == last { "y".into() } else { format!("t{at}") }],
        ..NodeProto::default()
    });
    let graph = GraphProto {
        name: "g".into(),
        node: nodes.collect(),
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() };
    let model =
        ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() };
    model.encode_to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put(folder: &Path, name: &str, model: &[u8], change: &[(&str, Value)]) {
    let folder = folder.join(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("model.onnx"), model).unwrap();
    let mut manifest = json!({
        "name": name, "version": "1", "license": "MIT", "source": "test",
        "files": [{ "path": "model.onnx", "sha256": sha256(model) }],
    });
    for (field, value) in change {
        manifest[*field] = value.clone();
    }
    fs::write(folder.join("model.json"), manifest.to_string()).unwrap();
}

#[tokio::test]
async fn a_bad_model_is_refused_with_the_reason_and_a_good_one_beside_it_serves() {
    let good = graph(&["Sqrt"]);
    let cases: [(&str, &[u8], Value, &str); 7] = [
        ("garbage", b"not a model at all", json!({}), "is no ONNX model"),
        ("empty", b"", json!({}), "holds no graph"),
        ("truncated", &good[..good.len() - 7], json!({}), "is no ONNX model"),
        ("changed", &good, json!([{ "path": "model.onnx", "sha256": "00" }]), "its SHA-256 is"),
        ("quantised", &graph(&["DynamicQuantizeLinear", "MatMulInteger"]), json!({}), "quantised to int8"),
        (
            "unknown",
            &graph(&["Sqrt", "Frobnicate", "Quuxify"]),
            json!({}),
            "not supported: Frobnicate, Quuxify",
        ),
        ("sized", &good, json!({ "m": 1 }), "sets the dimension `m`, which no input has"),
    ];
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "good", &good, &[]);
    for (name, model, change, _) in &cases {
        let change = match change {
            Value::Array(_) => vec![("files", change.clone())],
            Value::Object(fields) if !fields.is_empty() => vec![("dimensions", change.clone())],
            _ => vec![],
        };
        put(folder.path(), name, model, &change);
    }
    fs::create_dir(folder.path().join("mistyped")).unwrap();
    fs::write(folder.path().join("mistyped/model.json"), "{\"nme\": \"m\"}").unwrap();

    let registry = ModelRegistry::load(folder.path(), &pool()).unwrap();
    let reason = |name: &str| match registry.entry(name, None).unwrap() {
        ModelEntry::Refused { reason } => reason.clone(),
        loaded => panic!("{name}: {loaded:?}"),
    };
    for (name, _, _, wanted) in cases {
        assert!(reason(name).contains(wanted), "{name}: {wanted:?} not in {:?}", reason(name));
        assert!(registry.model(name, None).is_err());
    }
    assert!(reason("mistyped").contains("did you mean `name`?"), "{}", reason("mistyped"));

    let model = registry.model("good", None).unwrap();
    let input = mcp_inference::model::Tensor::new("x", vec![3], vec![1.0_f32, 4.0, 9.0]).unwrap();
    let outputs = model.infer(&scope("acme"), vec![input]).await.unwrap();
    assert_eq!(*outputs[0].data(), vec![1.0_f32, 2.0, 3.0].into());
    // What comes out is checked too: the root of -1 is no number.
    let input = mcp_inference::model::Tensor::new("x", vec![1], vec![-1.0_f32]).unwrap();
    let error = model.infer(&scope("acme"), vec![input]).await.unwrap_err();
    assert!(error.message().contains("`y` holds a value that is no finite number"), "{error}");
}

#[test]
fn a_real_model_that_was_changed_is_refused() {
    let folder = {
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir(copy.path().join("magika")).unwrap();
        for file in ["model.json", "model.onnx"] {
            fs::copy(folder().join("magika").join(file), copy.path().join("magika").join(file)).unwrap();
        }
        copy
    };
    let path = folder.path().join("magika/model.onnx");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let registry = ModelRegistry::load(folder.path(), &pool()).unwrap();
    let ModelEntry::Refused { reason } = registry.entry("magika", None).unwrap() else {
        panic!("it was loaded")
    };
    assert!(reason.contains("its SHA-256 is"), "{reason}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = ModelRegistry::load(Path::new("/no/such/folder"), &pool()).unwrap_err();
    assert!(error.message().contains("/no/such/folder"), "{error}");
}
