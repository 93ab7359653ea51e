//! What the demo embeds, where a local model is at hand.

use mcp_core::Result;
use serde_json::{Value, json};

use super::{expect, show::Show};
use crate::rest::RestClient;

/// The embedding model that `cargo xtask model minilm` makes.
const MINILM: &str = "minilm";
const STEP: &str = "embed sentences in process";

/// Embeds three sentences, or says the one command that fetches the model.
pub(super) async fn show(show: &mut Show, acme: &RestClient) -> Result<()> {
    let models = acme.get("/v1/models").await?;
    let names = models["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !names.iter().any(|model| model["id"] == MINILM) {
        show.skip(STEP, "no model is there; `cargo xtask model minilm` fetches one");
        return Ok(());
    }
    show.step(STEP, embed(acme)).await
}

async fn embed(acme: &RestClient) -> Result<((), String)> {
    let sentences =
        ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."];
    let answer = acme.post("/v1/embeddings", &json!({ "model": MINILM, "input": sentences })).await?;
    let vector = |index: usize| -> Vec<f64> {
        let numbers = answer["data"][index]["embedding"].as_array().map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(Value::as_f64).collect()
    };
    let cosine = |index: usize| -> f64 { vector(0).iter().zip(vector(index)).map(|(a, b)| a * b).sum() };
    let (near, far) = (cosine(1), cosine(2));
    expect(near > 0.7 && far < 0.1, || format!("{near} and {far}"))?;
    let length = vector(0).len();
    Ok((
        (),
        format!("MiniLM, {length} numbers each: eating bread is {near:.2} near, carrying a baby {far:.2}"),
    ))
}
