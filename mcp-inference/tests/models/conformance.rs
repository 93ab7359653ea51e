//! The suite of models on real ones, and on one that is broken.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{Result, Scope};
use mcp_inference::{
    conformance::run_model,
    model::{Model, ModelMetadata, Tensor},
};

use crate::support::{magika, registry};

fn bytes() -> Vec<Tensor> {
    vec![Tensor::new("bytes", vec![1, 2048], vec![32_i32; 2048]).unwrap()]
}

fn tokens() -> Vec<Tensor> {
    [("input_ids", 2000_i64), ("attention_mask", 1), ("token_type_ids", 0)]
        .map(|(name, value)| Tensor::new(name, vec![2, 16], vec![value; 32]).unwrap())
        .to_vec()
}

#[tokio::test]
async fn a_classifier_keeps_every_promise() {
    assert_eq!(run_model(&*magika(), &bytes()).await.failures(), None);
}

#[tokio::test]
async fn a_model_with_symbolic_dimensions_keeps_every_promise() {
    let minilm = registry().model("minilm", None).unwrap();
    assert_eq!(run_model(&*minilm, &tokens()).await.failures(), None);
}

/// Ignores deadlines, takes whatever it gets, and answers something else each time, at once.
#[derive(Debug)]
struct Careless(Arc<dyn Model>, std::sync::atomic::AtomicUsize);

#[async_trait]
impl Model for Careless {
    fn metadata(&self) -> &ModelMetadata {
        self.0.metadata()
    }

    async fn infer(&self, _: &Scope, _: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let count = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(vec![Tensor::new("label", vec![1], vec![u64::try_from(count).unwrap()])?])
    }
}

#[tokio::test]
async fn the_suite_finds_a_careless_model() {
    let report = run_model(&Careless(magika(), 0.into()), &bytes()).await;
    for case in [
        "outputs_are_those_of_the_metadata",
        "inputs_come_in_any_order",
        "a_bad_input_is_refused_and_named",
        "equal_inputs_give_equal_outputs",
        "a_deadline_that_has_passed_computes_nothing",
        "nothing_is_computed_on_the_callers_thread",
    ] {
        assert!(report.failed(case), "{case} did not notice");
    }
}
