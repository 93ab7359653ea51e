//! Tells who reads a tenant's feed that there are new events in it.

use tokio::sync::broadcast;

use crate::scope::TenantId;

/// Hints that may wait for a slow receiver; one that misses some is told so, and looks.
const ROOM: usize = 1024;

/// A hint for each tenant whose feed has grown.
///
/// It carries the tenant and nothing of the events. What another replica publishes is not hinted at, so a
/// receiver also looks from time to time.
#[derive(Debug, Clone)]
pub struct FeedHints(broadcast::Sender<TenantId>);

impl Default for FeedHints {
    fn default() -> Self {
        Self(broadcast::Sender::new(ROOM))
    }
}

impl FeedHints {
    /// Hints from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<TenantId> {
        self.0.subscribe()
    }

    /// The tenant's feed has grown.
    pub(super) fn send(&self, tenant: &TenantId) {
        // Nobody may be waiting.
        let _ = self.0.send(tenant.clone());
    }
}
