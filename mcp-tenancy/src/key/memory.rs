//! API keys in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock, Timestamp},
    scope::TenantId,
};

use super::{
    ApiKey, KeyDigest, KeyId, KeyStore, StoredKey,
    last_used::check_batch,
    store::{already_exists, is_revoked, not_found, parse_cursor, too_many},
};
use crate::tenant::{MAX_PAGE, Page};

/// A [`KeyStore`] in memory. Clones share their keys.
#[derive(Debug, Clone)]
pub struct MemoryKeyStore {
    clock: Arc<dyn Clock>,
    keys: Arc<Mutex<BTreeMap<KeyId, StoredKey>>>,
}

impl Default for MemoryKeyStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryKeyStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, keys: Arc::default() }
    }

    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        let mut keys = self.lock();
        let before = keys.len();
        keys.retain(|_, stored| stored.key.tenant != *tenant);
        (before - keys.len()) as u64
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyId, StoredKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn insert(&self, _: &PlatformScope, key: StoredKey, limit: u32) -> Result<()> {
        let mut keys = self.lock();
        if keys.contains_key(&key.key.id) {
            return Err(already_exists());
        }
        let (tenant, now) = (&key.key.tenant, key.key.created_at);
        let live = keys.values().filter(|held| held.key.tenant == *tenant && held.key.is_live(now)).count();
        if live >= limit as usize {
            return Err(too_many(limit));
        }
        keys.insert(key.key.id.clone(), key);
        Ok(())
    }

    async fn find(&self, _: &PlatformScope, id: &KeyId) -> Result<Option<StoredKey>> {
        Ok(self.lock().get(id).cloned())
    }

    async fn list(
        &self,
        _: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApiKey>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let keys = self.lock();
        let later = keys
            .values()
            .map(|stored| &stored.key)
            .filter(|key| key.tenant == *tenant && after.as_ref().is_none_or(|id| key.id > *id));
        let items = later.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |key: &ApiKey| key.id.to_string()))
    }

    async fn rotate(
        &self,
        _: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
        digest: KeyDigest,
        until: Option<Timestamp>,
    ) -> Result<ApiKey> {
        let mut keys = self.lock();
        let stored = keys.get_mut(id).filter(|stored| stored.key.tenant == *tenant);
        let stored = stored.ok_or_else(|| not_found("key.rotate", id))?;
        if stored.key.revoked_at.is_some() {
            return Err(is_revoked(id));
        }
        let before = std::mem::replace(&mut stored.digest, digest);
        stored.former = until.map(|_| before);
        stored.key.previous_until = until;
        stored.key.rotated_at = Some(self.clock.now());
        Ok(stored.key.clone())
    }

    async fn used(&self, _: &PlatformScope, used: &[(KeyId, Timestamp)]) -> Result<()> {
        check_batch(used)?;
        let mut keys = self.lock();
        for (id, at) in used {
            if let Some(stored) = keys.get_mut(id) {
                stored.key.last_used_at = stored.key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn revoke(&self, _: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        let mut keys = self.lock();
        let stored = keys.get_mut(id).filter(|stored| stored.key.tenant == *tenant);
        let stored = stored.ok_or_else(|| not_found("key.revoke", id))?;
        stored.key.revoked_at.get_or_insert_with(|| self.clock.now());
        Ok(stored.key.clone())
    }
}
