//! Lists of servers, kept for a while.

use std::{fmt, sync::Arc, time::Duration};

use mcp_core::{
    Error, ErrorKind, Result, Scope,
    clock::{Clock, Timestamp},
    scope::TenantId,
};
use moka::future::Cache;

use super::{
    config::GatewayConfig,
    listing::{Kind, Listing},
};
use crate::{protocol::ServerName, upstream::Upstream};

/// A server that failed to list is not asked again for this long on the same connection, so that a server
/// that hangs does not hold up every list.
const FAILURE_KEPT: Duration = Duration::from_secs(2);

type Key = (TenantId, ServerName, Kind);

/// A cache of listings: by tenant, bounded in bytes, one fetch at a time for each key.
pub(super) struct Catalog {
    cache: Cache<Key, Slot>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    timeout: Duration,
    max_items: usize,
}

#[derive(Clone)]
enum Slot {
    Listed(Arc<Listing>),
    Failed { error: Arc<Error>, until: Timestamp, upstream: std::sync::Weak<dyn Upstream> },
}

impl Catalog {
    pub(super) fn new(config: &GatewayConfig, clock: Arc<dyn Clock>) -> Self {
        let weigh = |_: &Key, slot: &Slot| match slot {
            Slot::Listed(listing) => u32::try_from(listing.weight()).unwrap_or(u32::MAX),
            Slot::Failed { .. } => 512,
        };
        Self {
            cache: Cache::builder().max_capacity(config.list_cache_bytes).weigher(weigh).build(),
            clock,
            ttl: config.list_ttl,
            timeout: config.list_timeout,
            max_items: config.list_items,
        }
    }

    /// The server's items, asked for if they are not known, too old, or of an earlier connection.
    ///
    /// # Errors
    /// As [`Listing::fetch`], and [`DeadlineExceeded`](mcp_core::ErrorKind::DeadlineExceeded).
    ///
    /// # Cancellation
    /// Safe: another caller that waits for the same list goes on.
    pub(super) async fn listing(
        &self,
        scope: &Scope,
        upstream: &Arc<dyn Upstream>,
        kind: Kind,
    ) -> Result<Arc<Listing>> {
        let key = (scope.tenant().clone(), upstream.name().clone(), kind);
        let now = self.clock.now();
        let known = self.cache.get(&key).await.filter(|slot| !self.is_stale(slot, kind, upstream, now));
        let slot = match known {
            Some(slot) => slot,
            None => {
                let fetch = self.fetch(scope, upstream, kind, now);
                let stale = |slot: &Slot| self.is_stale(slot, kind, upstream, now);
                self.cache.entry(key).or_insert_with_if(fetch, stale).await.into_value()
            }
        };
        match slot {
            Slot::Listed(listing) => Ok(listing),
            Slot::Failed { error, .. } => Err(again(&error)),
        }
    }

    /// The server's items as they were last listed, however long ago. Asks nobody.
    pub(super) async fn last_known(
        &self,
        scope: &Scope,
        server: &ServerName,
        kind: Kind,
    ) -> Option<Arc<Listing>> {
        match self.cache.get(&(scope.tenant().clone(), server.clone(), kind)).await? {
            Slot::Listed(listing) => Some(listing),
            Slot::Failed { .. } => None,
        }
    }

    async fn fetch(&self, scope: &Scope, upstream: &Arc<dyn Upstream>, kind: Kind, now: Timestamp) -> Slot {
        let timeout = scope.remaining(self.timeout);
        let fetched =
            tokio::time::timeout(timeout, Listing::fetch(scope, upstream, kind, self.max_items, now));
        let (error, kept) = match fetched.await {
            Ok(Ok(listing)) => return Slot::Listed(Arc::new(listing)),
            // A caller whose own time ran out says nothing of the server, and must not answer for others.
            Ok(Err(error)) => {
                let kept = error.kind() != ErrorKind::DeadlineExceeded || timeout >= self.timeout;
                (error, kept)
            }
            Err(_) => (super::failure::too_slow(upstream.name(), kind.method()), timeout >= self.timeout),
        };
        tracing::warn!(
            tenant = %scope.tenant(), request_id = %scope.request_id(), server = %upstream.name(),
            error = error.report(), "a server's list could not be read"
        );
        let until = if kept { self.clock.now().after(FAILURE_KEPT) } else { now };
        Slot::Failed { error: Arc::new(error), until, upstream: Arc::downgrade(upstream) }
    }

    fn is_stale(&self, slot: &Slot, kind: Kind, upstream: &Arc<dyn Upstream>, now: Timestamp) -> bool {
        match slot {
            Slot::Listed(listing) => listing.is_stale(kind, upstream, now, self.ttl),
            Slot::Failed { until, upstream: failed, .. } => {
                now >= *until || !std::ptr::addr_eq(failed.as_ptr(), Arc::as_ptr(upstream))
            }
        }
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("entries", &self.cache.entry_count()).finish_non_exhaustive()
    }
}

/// The same error for another caller; its causes were logged when it happened.
fn again(error: &Error) -> Error {
    let copy =
        Error::new(error.kind(), error.operation(), error.message().to_owned()).with_retry(error.retry());
    error.details().iter().cloned().fold(copy, Error::with_detail)
}
