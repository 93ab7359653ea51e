//! When keys were last used, written off the path of requests.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mcp_core::{PlatformScope, Result, clock::Timestamp};
use tokio_util::sync::CancellationToken;

use super::{KeyId, KeyStore};

/// Time between two writes: each key is written at most once in it, and once more at the end.
const EVERY: Duration = Duration::from_secs(60);
/// Keys that are remembered between two writes; the use of others is not recorded until the next.
const MOST: usize = 100_000;
/// Keys in one transaction.
const AT_ONCE: usize = 500;
/// How long the last write may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keys that were used since the last write.
#[derive(Debug, Default)]
pub(crate) struct LastUsed(Mutex<HashMap<KeyId, Timestamp>>);

impl LastUsed {
    /// Notes that a key was used. Never waits for anything but another note.
    pub(crate) fn note(&self, id: &KeyId, at: Timestamp) {
        let mut used = self.lock();
        if let Some(last) = used.get_mut(id) {
            *last = at.max(*last);
        } else if used.len() < MOST {
            used.insert(id.clone(), at);
        } else {
            metrics::counter!("mcp_key_uses_unrecorded_total").increment(1);
        }
    }

    /// Writes what was noted once a minute until `shutdown`, and then once more.
    ///
    /// # Cancellation
    /// May be dropped at any await; uses since the last write are then not recorded.
    pub(crate) async fn run(&self, store: &dyn KeyStore, scope: &PlatformScope, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if shutdown.run_until_cancelled(self.flush(store, scope)).await.is_none() {
                break;
            }
        }
        if tokio::time::timeout(PATIENCE, self.flush(store, scope)).await.is_err() {
            tracing::warn!("the last uses of API keys were not written in time");
        }
    }

    async fn flush(&self, store: &dyn KeyStore, scope: &PlatformScope) {
        let mut used: Vec<_> = self.lock().iter().map(|(id, at)| (id.clone(), *at)).collect();
        // Replicas that write the same keys take them in the same order, so that none waits in a circle.
        used.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for chunk in used.chunks(AT_ONCE) {
            match store.used(scope, chunk).await {
                Ok(()) => self.forget(chunk),
                Err(error) => {
                    metrics::counter!("mcp_key_uses_errors_total").increment(1);
                    tracing::warn!(error = error.report(), "cannot write when API keys were last used");
                    return;
                }
            }
        }
    }

    /// Forgets what was written, unless the key was used again since.
    fn forget(&self, written: &[(KeyId, Timestamp)]) {
        let mut used = self.lock();
        for (id, at) in written {
            if used.get(id) == Some(at) {
                used.remove(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks how many keys were given to [`KeyStore::used`] at once.
pub(super) fn check_batch(used: &[(KeyId, Timestamp)]) -> Result<()> {
    if used.len() > AT_ONCE {
        return Err(mcp_core::Error::invalid_input("key.used", format!("at most {AT_ONCE} keys at once")));
    }
    Ok(())
}
