//! What operators do with data keys: rotate, wrap anew, destroy.

use super::{
    DataKeys, KeyState, Rewrap, Shredded,
    slots::passes,
    store::{shredded, too_many},
};
use crate::{
    error::{ErrorKind, Result},
    key::{KeyPlace, MAX_DATA_KEYS},
    scope::{PlatformScope, TenantId},
};

/// Most tenants that are worked on in one call.
const MAX_BATCH: u32 = 1000;
/// How often keys that change meanwhile are looked at again.
const TRIES: usize = 3;

/// How far wrapping anew has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewrapBatch {
    /// Tenants that were looked at.
    pub tenants: u64,
    /// Keys that were wrapped anew.
    pub rewrapped: u64,
    /// Tenants of which a key does not open; the rest was gone on with. Their keys stay as they are.
    pub failed: Vec<TenantId>,
    /// Go on behind this tenant; `None` at the end.
    pub next: Option<TenantId>,
}

impl DataKeys {
    /// Gives the tenant a new key, which seals from now on: here at once, in other processes within
    /// [`ttl`](super::DataKeysConfig::ttl). What earlier keys sealed still opens. Returns the new version.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if another process rotates at the same moment,
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant was shredded,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) past [`MAX_DATA_KEYS`] keys,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if store or vault are away.
    ///
    /// # Cancellation
    /// Happens whole or not at all; a process that was told nothing sees it within `ttl`.
    pub async fn rotate(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<u32> {
        let version = match self.store.newest(scope, tenant).await? {
            None => self.first(scope, tenant).await?.version,
            Some(newest) if matches!(newest.state, KeyState::Destroyed { .. }) => return Err(shredded()),
            Some(newest) if newest.version >= MAX_DATA_KEYS => return Err(too_many()),
            Some(newest) => {
                let (new, _) = self.generate(tenant, newest.version + 1).await?;
                self.store.rotate(scope, new).await?.version
            }
        };
        self.current.forget(tenant).await;
        Ok(version)
    }

    /// Wraps all keys of a tenant by the vault's current wrapping key. Returns how many were not. The keys
    /// themselves, and what they sealed, stay as they are.
    ///
    /// # Errors
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if a key does not open, and then none was changed;
    /// [`Conflict`](crate::ErrorKind::Conflict) if they keep changing meanwhile;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if store or vault are away.
    ///
    /// # Cancellation
    /// Happens whole or not at all.
    pub async fn rewrap(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<u64> {
        let current = self.vault.current().await?;
        self.rewrap_to(scope, tenant, &current).await
    }

    /// [`rewrap`](Self::rewrap) for the next `limit` tenants (1 to 1000) behind `after`. Call it again with
    /// [`next`](RewrapBatch::next) until there is none: it may be stopped and taken up at any time.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap) where it would hit every tenant, with the tenant in the context; what was
    /// done before stays. A tenant whose key does not open is named in the answer instead.
    pub async fn rewrap_batch(
        &self,
        scope: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<RewrapBatch> {
        let current = self.vault.current().await?;
        let limit = limit.clamp(1, MAX_BATCH);
        let tenants = self.store.tenants(scope, after, limit).await?;
        let full = tenants.len() == limit as usize;
        let mut batch =
            RewrapBatch { next: tenants.last().filter(|_| full).cloned(), ..RewrapBatch::default() };
        for tenant in tenants {
            match self.rewrap_to(scope, &tenant, &current).await {
                Ok(rewrapped) => batch.rewrapped += rewrapped,
                Err(error) if passes(&error) || error.kind() == ErrorKind::PermissionDenied => {
                    return Err(error.with_context("tenant", &tenant));
                }
                Err(error) => {
                    tracing::error!(%tenant, error = error.report(), "a data key was not wrapped anew");
                    batch.failed.push(tenant);
                }
            }
            batch.tenants += 1;
        }
        Ok(batch)
    }

    /// What live data keys are wrapped by, with their number. A wrapping key that is not among them may be
    /// retired; what it still opens then are old backups.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store is away.
    pub async fn wrapping_keys(&self, scope: &PlatformScope) -> Result<Vec<(String, u64)>> {
        self.store.wrapping_keys(scope).await
    }

    /// Destroys all data keys of a tenant, and with them all that they sealed, wherever it was copied: here at
    /// once, in other processes within [`ttl`](super::DataKeysConfig::ttl). It cannot be undone, and doing it
    /// again changes nothing. The vault is not needed.
    ///
    /// A backup of the control tables still holds the wrapped keys: see [`Shredded::wrapping_keys`].
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the store is away.
    ///
    /// # Cancellation
    /// Happens whole or not at all. If it was dropped this process may use a key for `ttl`; do it again.
    pub async fn shred(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Shredded> {
        let receipt = self.store.shred(scope, tenant).await?;
        self.current.forget(tenant).await;
        for key in self.store.all(scope, tenant).await? {
            self.open.forget(&(tenant.clone(), key.version)).await;
        }
        Ok(receipt)
    }

    async fn rewrap_to(&self, scope: &PlatformScope, tenant: &TenantId, current: &str) -> Result<u64> {
        let mut tries = 1;
        loop {
            let keys = self.wrapped_anew(scope, tenant, current).await?;
            if keys.is_empty() {
                return Ok(0);
            }
            match self.store.rewrap(scope, tenant, &keys).await {
                Ok(()) => return Ok(keys.len() as u64),
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// The keys that are not wrapped by `current`, wrapped by the vault. No connection is held meanwhile.
    async fn wrapped_anew(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        current: &str,
    ) -> Result<Vec<Rewrap>> {
        let mut keys = Vec::new();
        for stored in self.store.all(scope, tenant).await? {
            let KeyState::Live { wrapped: from, .. } = stored.state else { continue };
            if from.wrapping_key == current {
                continue;
            }
            let place = KeyPlace { tenant, version: stored.version };
            if let Some(to) = self.vault.rewrap(place, &from).await? {
                keys.push(Rewrap { version: stored.version, from, to });
            }
        }
        Ok(keys)
    }
}
