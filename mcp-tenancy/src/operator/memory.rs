//! Operator keys in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock},
};

use super::{OperatorKey, OperatorKeyStore, StoredOperatorKey, store::not_found};
use crate::{
    key::{KeyId, already_exists, parse_cursor},
    tenant::{MAX_PAGE, Page},
};

/// An [`OperatorKeyStore`] in memory. Clones share their keys.
#[derive(Debug, Clone)]
pub struct MemoryOperatorKeyStore {
    clock: Arc<dyn Clock>,
    keys: Arc<Mutex<BTreeMap<KeyId, StoredOperatorKey>>>,
}

impl Default for MemoryOperatorKeyStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryOperatorKeyStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, keys: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyId, StoredOperatorKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OperatorKeyStore for MemoryOperatorKeyStore {
    async fn insert(&self, _: &PlatformScope, key: StoredOperatorKey) -> Result<()> {
        let mut keys = self.lock();
        if keys.contains_key(&key.key.id) {
            return Err(already_exists());
        }
        keys.insert(key.key.id.clone(), key);
        Ok(())
    }

    async fn find(&self, _: &PlatformScope, id: &KeyId) -> Result<Option<StoredOperatorKey>> {
        Ok(self.lock().get(id).cloned())
    }

    async fn list(&self, _: &PlatformScope, cursor: Option<&str>, limit: u32) -> Result<Page<OperatorKey>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let keys = self.lock();
        let later = keys
            .values()
            .map(|stored| &stored.key)
            .filter(|key| after.as_ref().is_none_or(|id| key.id > *id));
        let items = later.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |key: &OperatorKey| key.id.to_string()))
    }

    async fn revoke(&self, _: &PlatformScope, id: &KeyId) -> Result<OperatorKey> {
        let mut keys = self.lock();
        let stored = keys.get_mut(id).ok_or_else(|| not_found(id))?;
        stored.key.revoked_at.get_or_insert_with(|| self.clock.now());
        Ok(stored.key.clone())
    }
}
