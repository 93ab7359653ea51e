//! Remembering, recalling and forgetting.

use std::sync::Arc;

use mcp_core::{
    Error, Result, Scope,
    embed::{Embedder, check_vectors},
};

use super::{
    Hit, MemoryId, MemoryStore, NewMemory, Recall, Recalled, Stored,
    check::{self, words},
    fuse::fuse,
    vector::nearest,
};

/// Candidates of each ranking for each memory that is asked for: what is second in both may be the best.
const DEPTH: u32 = 4;

/// Semantic memory: a store, and an embedder where there is one.
///
/// While a text is embedded no transaction is open. Without an embedder, or while it fails, memories are
/// remembered without a vector and recalled by their words alone, and the answer says so.
#[derive(Debug, Clone)]
pub struct Memories {
    store: Arc<dyn MemoryStore>,
    embedder: Option<Arc<dyn Embedder>>,
}

impl Memories {
    /// Memory in `store`, with meanings compared by `embedder`.
    #[must_use]
    pub fn new(store: Arc<dyn MemoryStore>, embedder: Option<Arc<dyn Embedder>>) -> Self {
        Self { store, embedder }
    }

    /// Remembers a text. The same text in the same namespace is remembered once.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) and [`TooLarge`](mcp_core::ErrorKind::TooLarge) that
    /// name the field; [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    ///
    /// # Cancellation
    /// The text is remembered whole or not at all.
    pub async fn remember(&self, scope: &Scope, new: NewMemory) -> Result<Stored> {
        check::memory(&new)?;
        // An embedding costs more than a look.
        if let Some(memory) = self.store.same(scope, &new.namespace, &new.text).await? {
            return Ok(Stored { memory, new: false });
        }
        let vector = match &self.embedder {
            None => None,
            Some(embedder) => match embed(&**embedder, scope, &new.text).await {
                Ok(vector) => Some((embedder.model(), vector)),
                Err(error) => {
                    tracing::warn!(error = error.report(), "a memory is kept without its meaning");
                    metrics::counter!("mcp_memory_embed_failures_total").increment(1);
                    None
                }
            },
        };
        let vector = vector.as_ref().map(|(model, vector)| (*model, vector.as_slice()));
        self.store.put(scope, new, vector).await
    }

    /// Recalls what is nearest to the query, best first.
    ///
    /// # Errors
    /// `InvalidInput` and `TooLarge` that name the field; `Unavailable`.
    pub async fn recall(&self, scope: &Scope, recall: &Recall) -> Result<Recalled> {
        check::recall(recall)?;
        let namespace = &recall.namespace;
        let depth = recall.limit * DEPTH;
        let by_meaning = match &self.embedder {
            None => Err("there is no embedding model: only words were compared".to_owned()),
            Some(embedder) => match embed(&**embedder, scope, &recall.query).await {
                Ok(query) => {
                    let vectors = self.store.vectors(scope, namespace, embedder.model()).await?;
                    Ok(ranked(query, vectors, depth as usize).await?)
                }
                Err(error) => {
                    tracing::warn!(error = error.report(), "memories are recalled by words alone");
                    Err("the embedding model failed: only words were compared".to_owned())
                }
            },
        };
        let words = words(&recall.query);
        let by_words = match words.is_empty() {
            true => Vec::new(),
            false => self.store.by_words(scope, namespace, &words, depth).await?,
        };
        let (semantic, note) = (by_meaning.is_ok(), by_meaning.as_ref().err().cloned());
        let rankings: Vec<_> = [Some(by_words), by_meaning.ok()].into_iter().flatten().collect();
        let fused = fuse(&rankings, recall.limit as usize);
        let ids: Vec<MemoryId> = fused.iter().map(|(id, _)| *id).collect();
        let mut found = self.store.get(scope, &ids).await?;
        let items = fused.into_iter().filter_map(|(id, score)| {
            let at = found.iter().position(|memory| memory.id == id)?;
            Some(Hit { memory: found.swap_remove(at), score })
        });
        Ok(Recalled { items: items.collect(), semantic, note })
    }

    /// Forgets a memory.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound), `Unavailable`.
    pub async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()> {
        self.store.forget(scope, id).await
    }
}

async fn embed(embedder: &dyn Embedder, scope: &Scope, text: &str) -> Result<Vec<f32>> {
    let vectors = embedder.embed(scope, &[text]).await?;
    check_vectors(embedder, 1, &vectors)?;
    vectors.into_iter().next().ok_or_else(|| Error::upstream("memory.embed", "there is no vector"))
}

/// Comparing ten thousand vectors takes milliseconds of processor time, which other tasks must not wait for.
async fn ranked(query: Vec<f32>, vectors: Vec<super::Vector>, limit: usize) -> Result<Vec<MemoryId>> {
    tokio::task::spawn_blocking(move || nearest(&query, &vectors, limit))
        .await
        .map_err(|error| Error::internal("memory.recall", "the comparison failed").with_source(error))
}
