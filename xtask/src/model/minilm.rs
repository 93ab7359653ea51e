//! all-MiniLM-L6-v2: six layers of BERT, whose graph is written from the published weights.

use safetensors::{SafeTensors, tensor::Dtype};

use super::onnx::{DataType, Extent, GraphBuilder, float, int, ints};
use crate::sh::{Context, Failure, Result};

const HIDDEN: usize = 384;
const HEADS: usize = 12;
const HEAD: usize = HIDDEN / HEADS;
const LAYERS: usize = 6;
const EPSILON: f32 = 1e-12;
/// The first version of the operator set with `LayerNormalization`.
const OPSET: i64 = 17;

/// The ONNX file of the weights: `input_ids`, `attention_mask`, `token_type_ids` (i64 `[batch, seq]`) give
/// `last_hidden_state` (f32 `[batch, seq, 384]`).
///
/// # Errors
/// When the weights are no safetensors, or one is missing or of another type.
pub(super) fn build(weights: &[u8]) -> Result<Vec<u8>> {
    let weights = SafeTensors::deserialize(weights).context("reading the weights")?;
    let mut network = Network { graph: GraphBuilder::default(), weights };
    let masked = network.mask();
    let mut x = network.embeddings()?;
    for layer in 0..LAYERS {
        x = network.layer(layer, &x, &masked)?;
    }
    let mut graph = network.graph;
    graph.node("Identity", &[&x], "last_hidden_state", vec![]);
    let tokens = || vec![Extent::Named("batch".into()), Extent::Named("seq".into())];
    for input in ["input_ids", "attention_mask", "token_type_ids"] {
        graph.input(input, DataType::Int64, tokens());
    }
    let mut states = tokens();
    states.push(Extent::Fixed(fixed(HIDDEN)));
    graph.output("last_hidden_state", DataType::Float, states);
    Ok(graph.encode("all-MiniLM-L6-v2", OPSET))
}

struct Network<'a> {
    graph: GraphBuilder,
    weights: SafeTensors<'a>,
}

impl Network<'_> {
    /// What is added to attention scores: 0 where a token is, a large negative number where padding is.
    fn mask(&mut self) -> String {
        let graph = &mut self.graph;
        let mask = graph.node("Cast", &["attention_mask"], "mask/f", vec![int("to", DataType::Float as i64)]);
        let axes = graph.indices("axes12", &[1, 2]);
        let mask = graph.node("Unsqueeze", &[&mask, &axes], "mask/4", vec![]);
        let one = graph.floats("one_f", &[], &[1.0]);
        let inverted = graph.node("Sub", &[&one, &mask], "mask/inv", vec![]);
        let far = graph.floats("neg", &[], &[-1e9]);
        graph.node("Mul", &[&inverted, &far], "mask/bias", vec![])
    }

    /// Word, token type and position, summed and normalised.
    fn embeddings(&mut self) -> Result<String> {
        let words = self.weight("embeddings.word_embeddings.weight")?;
        let words = self.graph.node("Gather", &[&words, "input_ids"], "emb/w", vec![]);
        let types = self.weight("embeddings.token_type_embeddings.weight")?;
        let types = self.graph.node("Gather", &[&types, "token_type_ids"], "emb/t", vec![]);
        let positions = self.weight("embeddings.position_embeddings.weight")?;
        let graph = &mut self.graph;
        let shape = graph.node("Shape", &["input_ids"], "emb/shape", vec![]);
        let one = graph.indices("one_i", &[1]);
        let length = graph.node("Gather", &[&shape, &one], "emb/seqlen", vec![]);
        let zero = graph.indices("zero_i", &[0]);
        let positions = graph.node("Slice", &[&positions, &zero, &length, &zero], "emb/p", vec![]);
        let sum = graph.node("Add", &[&words, &types], "emb/wt", vec![]);
        let sum = graph.node("Add", &[&sum, &positions], "emb/sum", vec![]);
        self.normalise(&sum, "embeddings.LayerNorm", "emb/ln")
    }

    fn layer(&mut self, layer: usize, x: &str, masked: &str) -> Result<String> {
        let weights = format!("encoder.layer.{layer}.");
        let name = |part: &str| format!("l{layer}/{part}");
        let context = self.attention(&weights, &name, x, masked)?;
        let output = self.linear(&context, &format!("{weights}attention.output.dense"), &name("ao"))?;
        let sum = self.graph.node("Add", &[&output, x], name("res1"), vec![]);
        let x = self.normalise(&sum, &format!("{weights}attention.output.LayerNorm"), &name("ln1"))?;
        let wide = self.linear(&x, &format!("{weights}intermediate.dense"), &name("ff1"))?;
        let active = self.gelu(&wide, &name);
        let output = self.linear(&active, &format!("{weights}output.dense"), &name("ff2"))?;
        let sum = self.graph.node("Add", &[&output, &x], name("res2"), vec![]);
        self.normalise(&sum, &format!("{weights}output.LayerNorm"), &name("ln2"))
    }

    fn attention(
        &mut self,
        weights: &str,
        name: &dyn Fn(&str) -> String,
        x: &str,
        masked: &str,
    ) -> Result<String> {
        let query = self.heads(weights, "query", name, x, [0, 2, 1, 3])?;
        let key = self.heads(weights, "key", name, x, [0, 2, 3, 1])?;
        let value = self.heads(weights, "value", name, x, [0, 2, 1, 3])?;
        let graph = &mut self.graph;
        let scores = graph.node("MatMul", &[&query, &key], name("qk"), vec![]);
        let scale = graph.floats("scale", &[], &[(HEAD as f32).powf(-0.5)]);
        let scores = graph.node("Mul", &[&scores, &scale], name("qks"), vec![]);
        let scores = graph.node("Add", &[&scores, masked], name("qkm"), vec![]);
        let weights = graph.node("Softmax", &[&scores], name("att"), vec![int("axis", -1)]);
        let context = graph.node("MatMul", &[&weights, &value], name("av"), vec![]);
        let context = graph.node("Transpose", &[&context], name("avt"), vec![ints("perm", &[0, 2, 1, 3])]);
        let merged = graph.indices("merge", &[0, 0, fixed(HIDDEN)]);
        Ok(graph.node("Reshape", &[&context, &merged], name("ctx"), vec![]))
    }

    /// One projection of the attention, split into its heads and brought into the order of `axes`.
    fn heads(
        &mut self,
        weights: &str,
        part: &str,
        name: &dyn Fn(&str) -> String,
        x: &str,
        axes: [i64; 4],
    ) -> Result<String> {
        let projected = self.linear(x, &format!("{weights}attention.self.{part}"), &name(part))?;
        let graph = &mut self.graph;
        let split = graph.indices("split", &[0, 0, fixed(HEADS), fixed(HEAD)]);
        let split = graph.node("Reshape", &[&projected, &split], name(&format!("{part}/r")), vec![]);
        Ok(graph.node("Transpose", &[&split], name(&format!("{part}/h")), vec![ints("perm", &axes)]))
    }

    /// The exact GELU, by the error function.
    fn gelu(&mut self, x: &str, name: &dyn Fn(&str) -> String) -> String {
        let graph = &mut self.graph;
        let root = graph.floats("rsqrt2", &[], &[std::f32::consts::FRAC_1_SQRT_2]);
        let scaled = graph.node("Mul", &[x, &root], name("g1"), vec![]);
        let error = graph.node("Erf", &[&scaled], name("g2"), vec![]);
        let shifted = graph.node("Add", &[&error, "one_f"], name("g3"), vec![]);
        let product = graph.node("Mul", &[x, &shifted], name("g4"), vec![]);
        let half = graph.floats("half", &[], &[0.5]);
        graph.node("Mul", &[&product, &half], name("gelu"), vec![])
    }

    /// `x · Wᵀ + b`.
    fn linear(&mut self, x: &str, weights: &str, name: &str) -> Result<String> {
        let (values, shape) = self.read(&format!("{weights}.weight"))?;
        let [rows, columns] = shape[..] else {
            return Err(Failure::new(format!("the weight {weights} is no matrix")));
        };
        let transposed: Vec<f32> =
            (0..columns * rows).map(|at| values[(at % rows) * columns + at / rows]).collect();
        let matrix = self.graph.floats(&format!("{weights}.weight.T"), &[columns, rows], &transposed);
        let bias = self.weight(&format!("{weights}.bias"))?;
        let product = self.graph.node("MatMul", &[x, &matrix], format!("{name}/mm"), vec![]);
        Ok(self.graph.node("Add", &[&product, &bias], name, vec![]))
    }

    fn normalise(&mut self, x: &str, weights: &str, name: &str) -> Result<String> {
        let scale = self.weight(&format!("{weights}.weight"))?;
        let bias = self.weight(&format!("{weights}.bias"))?;
        let attributes = vec![int("axis", -1), float("epsilon", EPSILON)];
        Ok(self.graph.node("LayerNormalization", &[x, &scale, &bias], name, attributes))
    }

    /// A weight as a constant under its own name.
    fn weight(&mut self, name: &str) -> Result<String> {
        let (values, shape) = self.read(name)?;
        Ok(self.graph.floats(name, &shape, &values))
    }

    fn read(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>)> {
        let view = self.weights.tensor(name).context(format!("reading the weight {name}"))?;
        if view.dtype() != Dtype::F32 {
            return Err(Failure::new(format!("the weight {name} is {:?}, not F32", view.dtype())));
        }
        let values =
            view.data().chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        Ok((values.collect(), view.shape().to_vec()))
    }
}

fn fixed(extent: usize) -> i64 {
    i64::try_from(extent).unwrap_or(i64::MAX)
}
