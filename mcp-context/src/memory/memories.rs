//! Remembering, recalling and forgetting.

use std::{borrow::Cow, sync::Arc};

use mcp_core::{
    Error, Result, Scope,
    embed::{Embedder, check_vectors},
    redact::Redactor,
};

use super::{
    Hit, MemoryId, MemoryStore, NewMemory, Recall, Recalled, Stored,
    check::{self, words},
    follow::Meaning,
    fuse::fuse,
    metrics::Watch,
};
use crate::{redact, vector::VectorIndex};

/// Candidates of each ranking for each memory that is asked for: what is second in both may be the best.
const DEPTH: u32 = 4;

/// Semantic memory: a store, and an embedder where there is one.
///
/// While a text is embedded no transaction is open. Without an embedder, or while it fails, memories are
/// remembered without a vector and recalled by their words alone, and the answer says so.
///
/// A recall finds all that was committed before it began, whichever process did it, and nothing that was
/// forgotten by then: each hit is read from the store, in the scope's tenant.
#[derive(Debug, Clone)]
pub struct Memories {
    store: Arc<dyn MemoryStore>,
    meaning: Option<Arc<Meaning>>,
    redactor: Option<Arc<dyn Redactor>>,
}

impl Memories {
    /// Memory in `store`, with meanings of `embedder` that are found by `index`.
    #[must_use]
    pub fn new(
        store: Arc<dyn MemoryStore>,
        embedder: Option<Arc<dyn Embedder>>,
        index: Arc<dyn VectorIndex>,
    ) -> Self {
        let meaning = embedder.map(|embedder| Arc::new(Meaning::new(embedder, index)));
        Self { store, meaning, redactor: None }
    }

    /// Lets texts and their metadata, and queries, through this redactor before a model or the store sees them. Where
    /// the tenant's policy refuses, nothing is remembered or recalled; the error names the field and the kind of what
    /// it holds. A query is redacted as texts were: what became a hash is found by its hash.
    #[must_use]
    pub fn with_redactor(mut self, redactor: Arc<dyn Redactor>) -> Self {
        self.redactor = Some(redactor);
        self
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
        let mut watch = Watch::begin("remember");
        let stored = self.remembered(scope, new).await.inspect_err(|error| watch.failed(error))?;
        watch.done(if stored.new { "new" } else { "known" });
        Ok(stored)
    }

    async fn remembered(&self, scope: &Scope, new: NewMemory) -> Result<Stored> {
        check::memory(&new)?;
        let new = self.redacted(scope, new)?;
        // An embedding costs more than a look.
        if let Some(memory) = self.store.same(scope, &new.namespace, &new.text).await? {
            return Ok(Stored { memory, new: false });
        }
        let vector = match &self.meaning {
            None => None,
            Some(meaning) => match embed(&*meaning.embedder, scope, &new.text).await {
                Ok(vector) => Some((meaning.embedder.model(), vector)),
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
        let mut watch = Watch::begin("recall");
        let recalled = self.recalled(scope, recall).await.inspect_err(|error| watch.failed(error))?;
        watch.done(if recalled.semantic { "by_meaning" } else { "by_words" });
        Ok(recalled)
    }

    async fn recalled(&self, scope: &Scope, recall: &Recall) -> Result<Recalled> {
        check::recall(recall)?;
        let recall = &*self.asked(scope, recall)?;
        let namespace = &recall.namespace;
        let depth = recall.limit * DEPTH;
        let by_meaning = self.by_meaning(scope, recall, depth as usize).await?;
        let words = words(&recall.query);
        let by_words = match words.is_empty() {
            true => Vec::new(),
            false => self.store.by_words(scope, namespace, &words, depth).await?,
        };
        let (semantic, note) = (by_meaning.is_ok(), by_meaning.as_ref().err().map(|note| (*note).to_owned()));
        let rankings: Vec<_> = [Some(by_words), by_meaning.ok()].into_iter().flatten().collect();
        let fused = fuse(&rankings, recall.limit as usize);
        let ids: Vec<MemoryId> = fused.iter().map(|(id, _)| *id).collect();
        let mut found = self.store.get(scope, &ids).await?;
        // Indexes are derived: what they find counts if its row is there, and belongs here.
        found.retain(|memory| memory.namespace == *namespace);
        let items = fused.into_iter().filter_map(|(id, score)| {
            let at = found.iter().position(|memory| memory.id == id)?;
            Some(Hit { memory: found.swap_remove(at), score })
        });
        Ok(Recalled { items: items.collect(), semantic, note })
    }

    /// At most 16 KiB are looked at, so nobody waits for it.
    fn redacted(&self, scope: &Scope, new: NewMemory) -> Result<NewMemory> {
        let Some(redactor) = &self.redactor else { return Ok(new) };
        let NewMemory { namespace, text, metadata } = new;
        let text = redact::text(&**redactor, scope, "text", text)?;
        let metadata = redact::object(&**redactor, scope, "metadata", metadata)?;
        Ok(NewMemory { namespace, text, metadata })
    }

    fn asked<'a>(&self, scope: &Scope, recall: &'a Recall) -> Result<Cow<'a, Recall>> {
        let Some(redactor) = &self.redactor else { return Ok(Cow::Borrowed(recall)) };
        let query = redact::text(&**redactor, scope, "query", recall.query.clone())?;
        Ok(Cow::Owned(Recall { query, ..recall.clone() }))
    }

    /// What is nearest in meaning, or why meanings cannot be compared.
    async fn by_meaning(
        &self,
        scope: &Scope,
        recall: &Recall,
        limit: usize,
    ) -> Result<std::result::Result<Vec<MemoryId>, &'static str>> {
        let Some(meaning) = &self.meaning else {
            return Ok(Err("there is no embedding model: only words were compared"));
        };
        let query = match embed(&*meaning.embedder, scope, &recall.query).await {
            Ok(query) => query,
            Err(error) => {
                tracing::warn!(error = error.report(), "memories are recalled by words alone");
                metrics::counter!("mcp_memory_embed_failures_total").increment(1);
                return Ok(Err("the embedding model failed: only words were compared"));
            }
        };
        let near = meaning.nearest(&*self.store, scope, &recall.namespace, &query, limit).await?;
        Ok(near.ok_or("the index of meanings is being built: only words were compared"))
    }

    /// Forgets a memory.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound), `Unavailable`.
    pub async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()> {
        let mut watch = Watch::begin("forget");
        self.store.forget(scope, id).await.inspect_err(|error| watch.failed(error))?;
        watch.done("done");
        Ok(())
    }
}

async fn embed(embedder: &dyn Embedder, scope: &Scope, text: &str) -> Result<Vec<f32>> {
    let vectors = embedder.embed(scope, &[text]).await?;
    check_vectors(embedder, 1, &vectors)?;
    vectors.into_iter().next().ok_or_else(|| Error::upstream("memory.embed", "there is no vector"))
}
