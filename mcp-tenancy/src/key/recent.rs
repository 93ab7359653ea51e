//! What an authenticator remembers of a store of keys.

use std::time::Duration;

use mcp_core::{Result, clock::Timestamp};
use moka::future::Cache;
use tokio::time::Instant;

use super::{KeyDigest, KeyId, Presented};
use crate::auth::refused;

/// Keys kept in memory, and ids known not to exist: each bounded, so that invented ids push out no real key.
const CACHED: u64 = 100_000;
const CACHED_UNKNOWN: u64 = 10_000;
/// How long a key is used without asking the store: how long a revocation made elsewhere takes at most.
const FRESH: Duration = Duration::from_secs(1);

/// Keys that were looked up within the last second, and ids that no key has.
#[derive(Debug)]
pub(crate) struct Recent<T: Clone + Send + Sync + 'static> {
    known: Cache<KeyId, Loaded<T>>,
    unknown: Cache<KeyId, ()>,
}

/// A stored key: the digest of its secret, and what its holder becomes.
#[derive(Debug, Clone)]
pub(crate) struct Seen<T> {
    pub(crate) digest: KeyDigest,
    /// The secret before it, while that is good too.
    pub(crate) former: Option<Former>,
    pub(crate) holder: T,
}

/// A secret that was rotated away, and when it ends.
#[derive(Debug, Clone)]
pub(crate) struct Former {
    pub(crate) digest: KeyDigest,
    pub(crate) until: Timestamp,
}

#[derive(Debug, Clone)]
struct Loaded<T> {
    seen: Seen<T>,
    /// When the store was asked, not when it answered: a slow answer is already old.
    asked_at: Instant,
}

impl<T: Clone + Send + Sync + 'static> Recent<T> {
    pub(crate) fn new() -> Self {
        let known = Cache::builder().max_capacity(CACHED).time_to_live(FRESH);
        let unknown = Cache::builder().max_capacity(CACHED_UNKNOWN).time_to_live(FRESH);
        Self { known: known.build(), unknown: unknown.build() }
    }

    /// Whom `presented` speaks for; `ask` looks its id up in the store, and is not polled where that is known.
    /// An unknown id takes the same way as a wrong secret, and a key that was rotated that of one that was not.
    pub(crate) async fn holder(
        &self,
        presented: &Presented,
        now: Timestamp,
        ask: impl Future<Output = Result<Option<Seen<T>>>> + Send,
    ) -> Result<T> {
        let seen = self.load(&presented.id, ask).await?;
        let nothing = KeyDigest::of_nothing();
        let former = seen.as_ref().and_then(|seen| seen.former.as_ref());
        // Both are compared every time: which one it is does not show in how long it takes.
        let current = presented.shows(seen.as_ref().map_or(&nothing, |seen| &seen.digest));
        let past = presented.shows(former.map_or(&nothing, |former| &former.digest));
        let shown = current | (past & former.is_some_and(|former| now < former.until));
        let seen = seen.filter(|_| shown).ok_or_else(|| refused("an unknown API key or a wrong secret"))?;
        Ok(seen.holder)
    }

    /// Forgets what is known about `id`: called where a key was just revoked, so that it ends here at once.
    pub(crate) async fn forget(&self, id: &KeyId) {
        self.known.invalidate(id).await;
    }

    async fn load(
        &self,
        id: &KeyId,
        ask: impl Future<Output = Result<Option<Seen<T>>>> + Send,
    ) -> Result<Option<Seen<T>>> {
        if let Some(loaded) = self.known.get(id).await.filter(|loaded| loaded.asked_at.elapsed() < FRESH) {
            return Ok(Some(loaded.seen));
        }
        if self.unknown.contains_key(id) {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let Some(seen) = ask.await? else {
            self.unknown.insert(id.clone(), ()).await;
            return Ok(None);
        };
        self.known.insert(id.clone(), Loaded { seen: seen.clone(), asked_at }).await;
        Ok(Some(seen))
    }
}
