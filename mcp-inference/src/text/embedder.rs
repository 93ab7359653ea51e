//! A tokenizer, a model of token states, and pooling.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::{EmbeddingModel, Embeddings, batch, pool};
use crate::{
    cpu::CpuPool,
    model::{Dimension, EmbeddingSpec, Model, Tensor, TensorData},
};

const IDS: &str = "input_ids";
const MASK: &str = "attention_mask";
const TYPES: &str = "token_type_ids";

/// Embeds texts with a model that takes `input_ids` and `attention_mask` (and `token_type_ids`, where it has
/// them), all `[batch, seq]`, and whose first output is the tokens' states, `[batch, seq, dimensions]`.
///
/// Texts of nearly the same length are computed together, so that little is spent on padding.
#[derive(Debug, Clone)]
pub struct TextEmbedder {
    model: Arc<dyn Model>,
    spec: EmbeddingSpec,
    dimensions: usize,
    tokenizer: Arc<Tokenizer>,
    pool: CpuPool,
}

/// Texts that are computed together.
struct Batch {
    /// Which of the caller's texts they are.
    texts: Vec<usize>,
    lengths: Vec<usize>,
    width: usize,
    inputs: Vec<Tensor>,
}

impl TextEmbedder {
    /// `tokenizer` is the content of a `tokenizer.json`; its own padding and truncation are not used.
    ///
    /// # Errors
    /// `InvalidInput` for a tokenizer that cannot be read, or a model that is none of token states.
    pub fn new(model: Arc<dyn Model>, spec: EmbeddingSpec, tokenizer: &[u8], pool: CpuPool) -> Result<Self> {
        let name = &model.metadata().name;
        let refuse = |why: String| Error::invalid_input("text.load", format!("model `{name}`: {why}"));
        let dimensions = match model.metadata().outputs.first().map(|output| &output.shape[..]) {
            Some([_, _, Dimension::Fixed(dimensions)]) => *dimensions,
            _ => return Err(refuse("its first output is not [batch, seq, dimensions]".to_owned())),
        };
        for needed in [IDS, MASK] {
            if !model.metadata().inputs.iter().any(|input| input.name == needed) {
                return Err(refuse(format!("it has no input `{needed}`")));
            }
        }
        let unreadable =
            |error: tokenizers::Error| refuse("its tokenizer.json cannot be read".into()).with_source(error);
        let mut tokenizer = Tokenizer::from_bytes(tokenizer).map_err(unreadable)?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: spec.max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(spec.truncate.then_some(truncation)).map_err(unreadable)?;
        Ok(Self { model, spec, dimensions, tokenizer: Arc::new(tokenizer), pool })
    }

    async fn tokenize(&self, scope: &Scope, texts: &[&str]) -> Result<Vec<Encoding>> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let (tokenizer, limit) = (Arc::clone(&self.tokenizer), self.spec.max_tokens);
        let tokenized = self.pool.run(scope, move || {
            texts.into_iter().enumerate().map(|(at, text)| tokenize(&tokenizer, at, text, limit)).collect()
        });
        tokenized.await?
    }

    fn batches(&self, encodings: &[Encoding]) -> Result<Vec<Batch>> {
        let lengths: Vec<_> = encodings.iter().map(Encoding::len).collect();
        batch::group(&lengths).into_iter().map(|texts| self.batch(encodings, texts)).collect()
    }

    fn batch(&self, encodings: &[Encoding], texts: Vec<usize>) -> Result<Batch> {
        let lengths: Vec<_> = texts.iter().map(|&text| encodings[text].len()).collect();
        let width = lengths.iter().copied().max().unwrap_or_default();
        let rows = |of: fn(&Encoding) -> &[u32]| {
            let mut values = vec![0_i64; texts.len() * width];
            for (row, &text) in values.chunks_exact_mut(width).zip(&texts) {
                for (value, id) in row.iter_mut().zip(of(&encodings[text])) {
                    *value = i64::from(*id);
                }
            }
            values
        };
        let shape = || vec![texts.len(), width];
        let inputs = self.model.metadata().inputs.iter().map(|input| match input.name.as_str() {
            IDS => Tensor::new(IDS, shape(), rows(Encoding::get_ids)),
            MASK => Tensor::new(MASK, shape(), rows(Encoding::get_attention_mask)),
            TYPES => Tensor::new(TYPES, shape(), rows(Encoding::get_type_ids)),
            other => Err(Error::internal(
                "text.embed",
                format!("the model needs `{other}`, which texts do not give"),
            )),
        });
        Ok(Batch { inputs: inputs.collect::<Result<_>>()?, texts, lengths, width })
    }

    async fn compute(&self, scope: &Scope, batch: Batch) -> Result<Vec<(usize, Vec<f32>)>> {
        let Batch { texts, lengths, width, inputs } = batch;
        let outputs = self.model.infer(scope, inputs).await?;
        let (spec, size) = (self.spec, self.dimensions);
        let pooled = self.pool.run(scope, move || match outputs.first().map(Tensor::data) {
            Some(TensorData::Fp32(states)) if states.len() == lengths.len() * width * size => {
                Ok(pool::vectors(spec, states, &lengths, width, size))
            }
            _ => Err(Error::internal("text.embed", "the model gave something other than token states")),
        });
        Ok(texts.into_iter().zip(pooled.await??).collect())
    }
}

/// The tokens of the `at`-th text.
fn tokenize(tokenizer: &Tokenizer, at: usize, text: String, limit: usize) -> Result<Encoding> {
    let encoding = tokenizer.encode(text, true).map_err(|error| {
        Error::invalid_input("text.tokenize", format!("text {at} cannot be tokenized")).with_source(error)
    })?;
    let length = encoding.len();
    if length == 0 || length > limit {
        let message = format!("text {at} has {length} tokens; the model takes 1 to {limit}");
        return Err(Error::new(ErrorKind::InvalidInput, "text.tokenize", message)
            .with_detail(Detail::Field { path: format!("input/{at}"), nearest: None }));
    }
    Ok(encoding)
}

#[async_trait]
impl EmbeddingModel for TextEmbedder {
    fn name(&self) -> &str {
        &self.model.metadata().name
    }

    fn version(&self) -> &str {
        &self.model.metadata().version
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    async fn embed(&self, scope: &Scope, texts: &[&str]) -> Result<Embeddings> {
        let encodings = self.tokenize(scope, texts).await?;
        let tokens = encodings.iter().map(|encoding| encoding.len() as u64).sum();
        let batches = self.batches(&encodings)?;
        // As many at once as there are threads: more would only fill the queue that others wait in too.
        let computed: Vec<_> = stream::iter(batches)
            .map(|batch| self.compute(scope, batch))
            .buffer_unordered(self.pool.threads())
            .try_collect()
            .await?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for (text, vector) in computed.into_iter().flatten() {
            vectors[text] = vector;
        }
        Ok(Embeddings { vectors, tokens })
    }
}
