//! Texts into vectors.

#[cfg(feature = "onnx")]
mod batch;
#[cfg(feature = "onnx")]
mod embedder;
#[cfg(feature = "onnx")]
mod pool;
mod port;
mod scale;

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Result, Scope};

#[cfg(feature = "onnx")]
pub use embedder::TextEmbedder;
pub use port::ModelEmbedder;

/// The vectors of some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One for each text, in the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens that were computed, special ones included.
    pub tokens: u64,
}

/// A model that turns texts into vectors of one length, and counts what it computes.
///
/// Promises: the vector of a text does not depend on the texts beside it beyond rounding (1e-5 in any
/// element); vectors are in the order of the texts; no text gives no vector.
#[async_trait]
pub trait EmbeddingModel: Send + Sync + fmt::Debug {
    /// The model's name in the registry.
    fn name(&self) -> &str;

    /// The model's version in the registry.
    fn version(&self) -> &str;

    /// Elements of each vector.
    fn dimensions(&self) -> usize;

    /// A vector for each text.
    ///
    /// # Errors
    /// `InvalidInput` that names the text which is too long for the model, where it does not cut them;
    /// `DeadlineExceeded`; `Unavailable` when too much waits already.
    ///
    /// # Cancellation
    /// Safe.
    async fn embed(&self, scope: &Scope, texts: &[&str]) -> Result<Embeddings>;
}
