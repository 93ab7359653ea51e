//! A local model behind the core's port for embeddings.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    Error, Result, Scope,
    embed::{Embedder, MAX_TEXTS},
};

use super::EmbeddingModel;

/// An [`EmbeddingModel`] as an [`Embedder`]: vectors of length one, in a space named by model and version.
#[derive(Debug, Clone)]
pub struct ModelEmbedder {
    model: Arc<dyn EmbeddingModel>,
    space: String,
}

impl ModelEmbedder {
    /// The port of `model`.
    #[must_use]
    pub fn new(model: Arc<dyn EmbeddingModel>) -> Self {
        let space = format!("{}@{}", model.name(), model.version());
        Self { model, space }
    }
}

#[async_trait]
impl Embedder for ModelEmbedder {
    async fn embed(&self, scope: &Scope, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if texts.len() > MAX_TEXTS {
            let message = format!("{} texts at once; at most {MAX_TEXTS} are embedded", texts.len());
            return Err(Error::invalid_input("text.embed", message));
        }
        let mut vectors = self.model.embed(scope, texts).await?.vectors;
        for vector in &mut vectors {
            super::scale::to_unit(vector);
        }
        Ok(vectors)
    }

    fn model(&self) -> &str {
        &self.space
    }

    fn dimensions(&self) -> usize {
        self.model.dimensions()
    }
}
