//! Which chains had events committed by this process, so that its relay need not wait for its next round.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::audit::Chain;

/// Chains kept; what is above them is found by the relay's next round.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Commits {
    chains: Mutex<HashSet<Chain>>,
    woken: Notify,
}

impl Commits {
    /// Events of `chain` were committed.
    pub(crate) fn mark(&self, chain: Chain) {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() < MOST {
            chains.insert(chain);
        }
        drop(chains);
        self.woken.notify_one();
    }

    /// Waits for a commit, unless there was one since the last call; then the chains they were on.
    pub(crate) async fn marked(&self) -> Vec<Chain> {
        loop {
            let chains = std::mem::take(&mut *self.chains.lock().unwrap_or_else(PoisonError::into_inner));
            if !chains.is_empty() {
                return chains.into_iter().collect();
            }
            self.woken.notified().await;
        }
    }
}
