//! The promises of a model, and what a classifier says of real content.

use std::time::{Duration, Instant};

use mcp_core::ErrorKind;
use mcp_inference::model::{Datatype, Dimension, Tensor, TensorData};

use crate::support::{magika, scope};

/// How Magika reads a text: its first and last 1024 bytes, without blanks around them, padded with 256.
fn content(text: &str) -> Tensor {
    let text = text.trim().as_bytes();
    let first = text.iter().take(1024);
    let last = &text[text.len().saturating_sub(1024)..];
    let mut bytes = vec![256_i32; 2048];
    for (place, byte) in bytes.iter_mut().zip(first) {
        *place = i32::from(*byte);
    }
    for (place, byte) in bytes[2048 - last.len()..].iter_mut().zip(last) {
        *place = i32::from(*byte);
    }
    Tensor::new("bytes", vec![1, 2048], bytes).unwrap()
}

async fn likeliest(text: &str) -> (usize, f32) {
    let outputs = magika().infer(&scope("acme"), vec![content(text)]).await.unwrap();
    let TensorData::Fp32(scores) = outputs[0].data() else { panic!("{outputs:?}") };
    let (label, score) = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    (label, *score)
}

const RUST: &str = "use std::collections::HashMap;\n\npub fn count(words: &[&str]) -> HashMap<String, usize> {\n    \
    let mut counts = HashMap::new();\n    for word in words {\n        *counts.entry(word.to_string()).or_insert(0) += 1;\n    \
    }\n    counts\n}\n\nimpl Drop for Thing {\n    fn drop(&mut self) {\n        println!(\"{:?}\", self);\n    }\n}\n";
const PYTHON: &str = "import os\nfrom collections import Counter\n\n\ndef count(words):\n    \"\"\"Counts words.\"\"\"\n    \
    counts = Counter()\n    for word in words:\n        counts[word] += 1\n    return counts\n\n\nif __name__ == '__main__':\n    \
    print(count(os.environ.get('WORDS', '').split()))\n";

#[tokio::test]
async fn a_classifier_tells_rust_from_python() {
    let (rust, python) = (likeliest(RUST).await, likeliest(PYTHON).await);
    assert!(rust.1 > 0.9 && python.1 > 0.9, "{rust:?} {python:?}");
    assert_ne!(rust.0, python.0);
    // Equal inputs give equal outputs.
    assert_eq!(likeliest(RUST).await, rust);
}

#[tokio::test]
async fn the_metadata_says_what_goes_in_and_comes_out() {
    let model = magika();
    let metadata = model.metadata();
    assert_eq!((metadata.name.as_str(), metadata.version.as_str()), ("magika", "1"));
    let [input] = &metadata.inputs[..] else { panic!("{metadata:?}") };
    assert_eq!((input.name.as_str(), input.datatype), ("bytes", Datatype::Int32));
    assert_eq!(input.shape, [Dimension::Fixed(1), Dimension::Fixed(2048)]);
    let outputs = model.infer(&scope("acme"), vec![content("x")]).await.unwrap();
    assert_eq!(outputs.len(), metadata.outputs.len());
    for (output, spec) in outputs.iter().zip(&metadata.outputs) {
        assert_eq!((output.name(), output.datatype()), (spec.name.as_str(), spec.datatype));
        let shape: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
        let found: Vec<_> = output.shape().iter().map(ToString::to_string).collect();
        assert_eq!(found, shape);
    }
}

#[tokio::test]
async fn a_wrong_input_is_refused_with_what_is_expected() {
    for (input, wanted) in [
        (Tensor::new("byte", vec![1, 2048], vec![0_i32; 2048]), "did you mean `bytes`?"),
        (Tensor::new("bytes", vec![2, 2048], vec![0_i32; 4096]), "the model expects INT32 [1, 2048]"),
        (Tensor::new("bytes", vec![1, 2048], vec![0_i64; 2048]), "is INT64 [1, 2048]"),
    ] {
        let error = magika().infer(&scope("acme"), vec![input.unwrap()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
    }
    let error = magika().infer(&scope("acme"), vec![]).await.unwrap_err();
    assert!(error.message().contains("`bytes` is missing"), "{error}");
}

#[tokio::test]
async fn a_deadline_that_has_passed_computes_nothing() {
    let scope = scope("acme").with_deadline(Instant::now() - Duration::from_secs(1));
    let error = magika().infer(&scope, vec![content("x")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
}
