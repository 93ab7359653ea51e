//! Recalling by meaning: the vector index is kept in step with the rows.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use mcp_core::{Result, Scope, embed::Embedder};
use tokio::sync::Mutex;

use super::{KEPT_VERSIONS, MAX_VECTORS_READ, MemoryId, MemoryStore, Namespace, VectorChanges};
use crate::vector::{Changes, MAX_VECTORS, Space, Vector, VectorIndex};

/// How often an index may be dropped by others before a recall does without it.
const TRIES: usize = 4;
/// Indexes that are built at once, at most: their vectors are in memory twice for a moment.
const BUILDS: usize = 4;
/// Versions that an index may be behind and still catch up.
const MOST_BEHIND: i64 = KEPT_VERSIONS;
/// Bytes of vectors that are read to build one.
const MOST_READ: usize = 256 * 1024 * 1024;

/// An embedder, and the index of what it made.
///
/// Each recall asks for the version of its namespace, and brings the index what it lacks: so it finds all that was
/// committed before it began, by whichever process, and nothing that was forgotten by then.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) index: Arc<dyn VectorIndex>,
    builds: [Mutex<()>; BUILDS],
    hasher: RandomState,
}

impl Meaning {
    pub(super) fn new(embedder: Arc<dyn Embedder>, index: Arc<dyn VectorIndex>) -> Self {
        Self { embedder, index, builds: Default::default(), hasher: RandomState::new() }
    }

    /// Whose texts are nearest to `query`, nearest first; `None` if the index was dropped again and again.
    pub(super) async fn nearest(
        &self,
        store: &dyn MemoryStore,
        scope: &Scope,
        namespace: &Namespace,
        query: &[f32],
        limit: usize,
    ) -> Result<Option<Vec<MemoryId>>> {
        let space = Space {
            namespace: namespace.clone(),
            model: self.embedder.model().to_owned(),
            dimensions: self.embedder.dimensions(),
        };
        for _ in 0..TRIES {
            let has = self.index.version(scope, &space).await?;
            let reached = match has {
                Some(has) => self.catch_up(store, scope, &space, has).await?,
                None => None,
            };
            let Some(version) = reached else {
                self.build(store, scope, &space, has).await?;
                continue;
            };
            if let Some(near) = self.index.search(scope, &space, version, query, limit).await? {
                return Ok(Some(near.into_iter().map(|near| near.id).collect()));
            }
        }
        Ok(None)
    }

    /// Brings the index, which has the version `has`, to the version of now, and says which that is; `None` if it
    /// is too far behind. One that is ahead saw rows that were taken back, as when a backup is restored.
    async fn catch_up(
        &self,
        store: &dyn MemoryStore,
        scope: &Scope,
        space: &Space,
        has: i64,
    ) -> Result<Option<i64>> {
        let now = store.version(scope, &space.namespace).await?;
        if now < has || now - has > MOST_BEHIND {
            return Ok(None);
        }
        let mut since = has;
        while since < now {
            let until = now.min(since + i64::from(MAX_VECTORS_READ));
            let changes = store.changes(scope, &space.namespace, &space.model, since, until).await?;
            let Some(VectorChanges { added, removed }) = changes else { return Ok(None) };
            let added = comparable(added, space);
            self.index.apply(scope, space, Changes { since: Some(since), until, added, removed }).await?;
            since = until;
        }
        Ok(Some(now))
    }

    /// Builds the index anew, unless another did since it had the version `had`.
    async fn build(
        &self,
        store: &dyn MemoryStore,
        scope: &Scope,
        space: &Space,
        had: Option<i64>,
    ) -> Result<()> {
        let turn = self.hasher.hash_one((scope.tenant(), space)) as usize % BUILDS;
        // Held while rows are read: who waits for it would read the same ones.
        let _turn = self.builds[turn].lock().await;
        if self.index.version(scope, space).await? != had {
            return Ok(());
        }
        let most = (MOST_READ / (space.dimensions * size_of::<f32>()).max(1)).clamp(1, MAX_VECTORS);
        // Asked first: what comes while vectors are read is read again afterwards.
        let until = store.version(scope, &space.namespace).await?;
        let (mut added, mut before) = (Vec::new(), None);
        while added.len() < most {
            let page = store.vectors(scope, &space.namespace, &space.model, before, MAX_VECTORS_READ).await?;
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.id);
            added.extend(comparable(page, space));
        }
        added.truncate(most);
        metrics::counter!("mcp_vector_index_builds_total").increment(1);
        self.index.apply(scope, space, Changes { since: None, until, added, removed: Vec::new() }).await
    }
}

/// Without those that another model of the same name made.
fn comparable(mut vectors: Vec<Vector>, space: &Space) -> Vec<Vector> {
    vectors.retain(|vector| vector.numbers.len() == space.dimensions);
    vectors
}
