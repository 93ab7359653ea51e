//! API keys in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock},
    scope::TenantId,
};

use super::{
    ApiKey, KeyId, KeyStore, StoredKey,
    store::{already_exists, not_found, parse_cursor},
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyId, StoredKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for MemoryKeyStore {
    async fn insert(&self, _: &PlatformScope, key: StoredKey) -> Result<()> {
        let mut keys = self.lock();
        if keys.contains_key(&key.key.id) {
            return Err(already_exists());
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

    async fn revoke(&self, _: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        let mut keys = self.lock();
        let stored =
            keys.get_mut(id).filter(|stored| stored.key.tenant == *tenant).ok_or_else(|| not_found(id))?;
        stored.key.revoked_at.get_or_insert_with(|| self.clock.now());
        Ok(stored.key.clone())
    }
}
