//! Indexes in the memory of this process.

use std::{collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;
use mcp_core::{
    Error, PlatformScope, Result, Scope,
    erase::{Erased, TenantEraser},
    scope::TenantId,
};
use tokio::sync::{Semaphore, watch};

use super::{
    Changes, MAX_VECTORS, Near, Space, VectorIndex, check,
    exact::{Exact, MOST_BESIDE, Vectors},
    spaces::{Held, Key, Spaces},
};

/// The bounds of a [`LocalVectorIndex`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalConfig {
    /// Bytes that all indexes may take together; those that were not used for longest go first, and one space
    /// takes at most half. Default 512 MiB.
    pub bytes: usize,
    /// Indexes that are held at most. Default 10,000.
    pub spaces: usize,
    /// Comparisons that run at once. Default: one for each processor.
    pub threads: usize,
    /// Up to so many vectors of a space are compared one by one, above it a graph leads to them; without the
    /// feature `usearch` there is no graph. Default 4,096.
    pub exact_up_to: usize,
}

impl Default for LocalConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { bytes: 512 * 1024 * 1024, spaces: 10_000, threads, exact_up_to: 4096 }
    }
}

/// Makes the empty index of a space with so many dimensions.
type Make = fn(&LocalConfig, usize) -> Box<dyn Vectors>;

/// A [`VectorIndex`] in memory. Comparing takes processor time, which is spent on threads for blocking work.
pub struct LocalVectorIndex {
    config: LocalConfig,
    make: Make,
    spaces: Arc<Spaces>,
    turns: Arc<Semaphore>,
}

impl LocalVectorIndex {
    /// Compares every vector: the reference.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a bound of zero.
    pub fn exact(config: LocalConfig) -> Result<Self> {
        Self::new(config, |_, _| Box::<Exact>::default())
    }

    /// Finds its way by a graph where there are many vectors, and compares every one where there are few.
    ///
    /// # Errors
    /// `InvalidInput` for a bound of zero.
    #[cfg(feature = "usearch")]
    pub fn usearch(config: LocalConfig) -> Result<Self> {
        Self::new(config, |config, dimensions| {
            Box::new(super::graph::Graph::new(dimensions, config.threads, config.exact_up_to))
        })
    }

    fn new(config: LocalConfig, make: Make) -> Result<Self> {
        if config.bytes == 0 || config.spaces == 0 || config.threads == 0 {
            let message = "`bytes`, `spaces` and `threads` of a vector index must be at least 1";
            return Err(Error::invalid_input("vector.open", message));
        }
        let spaces = Arc::new(Spaces::new(config.bytes, config.spaces));
        let turns = Arc::new(Semaphore::new(config.threads));
        Ok(Self { config, make, spaces, turns })
    }

    /// Keeps no index of a tenant that is in `closed`, those that may not be used: what is held goes once one comes
    /// into it, and what a recall builds that is still under way is not held. Returns when the sender is gone; until
    /// then somebody has to await it.
    ///
    /// In each replica a tenant that is deleted loses its indexes so, as soon as that replica hears of it.
    ///
    /// # Cancellation
    /// What is held then stays, and nothing is held for the tenants that are closed later, either.
    pub async fn follow_closed(&self, mut closed: watch::Receiver<HashSet<TenantId>>) {
        loop {
            self.spaces.close(&mut closed);
            if closed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Vectors of one space that there is room for.
    fn room(&self, space: &Space) -> usize {
        let one = space.dimensions.saturating_mul(size_of::<f32>()).saturating_add(MOST_BESIDE);
        (self.config.bytes / 2 / one).clamp(1, MAX_VECTORS)
    }

    /// Runs `work` where it may take its time, at most [`LocalConfig::threads`] at once. What has begun is
    /// finished, with its turn, even if nobody waits for it any more: so a graph never meets more threads than
    /// it made room for.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn
            .map_err(|error| Error::internal("vector.compute", "nobody ends the turns").with_source(error))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| {
            Error::internal("vector.compute", "comparing vectors met a defect").with_source(error)
        })?
    }
}

impl fmt::Debug for LocalVectorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalVectorIndex").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl VectorIndex for LocalVectorIndex {
    async fn version(&self, scope: &Scope, space: &Space) -> Result<Option<i64>> {
        Ok(self.spaces.get(&key(scope, space)).map(|held| held.known()))
    }

    async fn apply(&self, scope: &Scope, space: &Space, changes: Changes) -> Result<()> {
        let key = key(scope, space);
        let (spaces, room, dimensions) = (Arc::clone(&self.spaces), self.room(space), space.dimensions);
        let built = changes.since.is_none();
        let held = match built {
            true => Held::new((self.make)(&self.config, dimensions)),
            false => match spaces.get(&key) {
                Some(held) => held,
                None => return Ok(()),
            },
        };
        self.compute(move || {
            let added = check::units(changes.added, dimensions)?;
            let mut state = held.write();
            let done = state.step((changes.since, changes.until), &changes.removed, added, room);
            if done.is_err() || state.version.is_none() || state.vectors.worn() {
                state.version = None;
                spaces.forget(&key, &held);
                return done;
            }
            held.set_known(state.version.unwrap_or_default());
            let bytes = state.vectors.bytes();
            drop(state);
            if built {
                spaces.put(key, held, bytes)
            } else {
                spaces.weigh(&key, &held, bytes)
            }
            Ok(())
        })
        .await
    }

    async fn search(
        &self,
        scope: &Scope,
        space: &Space,
        version: i64,
        query: &[f32],
        limit: usize,
    ) -> Result<Option<Vec<Near>>> {
        let query = check::unit(query.to_vec(), space.dimensions)?;
        let key = key(scope, space);
        let Some(held) = self.spaces.get(&key) else { return Ok(None) };
        let spaces = Arc::clone(&self.spaces);
        self.compute(move || {
            if let Some(mut state) = held.try_write() {
                match state.vectors.settle() {
                    Ok(false) => {}
                    Ok(true) => spaces.weigh(&key, &held, state.vectors.bytes()),
                    Err(error) => {
                        state.version = None;
                        spaces.forget(&key, &held);
                        return Err(error);
                    }
                }
            }
            let state = held.read();
            match state.version.is_some_and(|has| has >= version) {
                true => state.vectors.search(&query, limit).map(Some),
                false => Ok(None),
            }
        })
        .await
    }

    async fn len(&self, scope: &Scope, space: &Space) -> Result<usize> {
        let Some(held) = self.spaces.get(&key(scope, space)) else { return Ok(0) };
        self.compute(move || {
            let state = held.read();
            Ok(state.version.map_or(0, |_| state.vectors.len()))
        })
        .await
    }
}

/// The indexes of this process. Other replicas [follow](LocalVectorIndex::follow_closed) what is closed.
#[async_trait]
impl TenantEraser for LocalVectorIndex {
    fn name(&self) -> &'static str {
        "vector-indexes"
    }

    async fn erase(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let mut erased = Erased::default();
        erased.count("vector_index", self.spaces.erase(tenant) as u64);
        Ok(erased)
    }
}

fn key(scope: &Scope, space: &Space) -> Key {
    (scope.tenant().clone(), space.clone())
}
