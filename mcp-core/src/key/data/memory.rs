//! Data keys in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{
    DataKeyStore, KeyState, NewDataKey, Rewrap, Shredded, StoredDataKey,
    store::{may_follow, receipt, rewrapped_meanwhile},
};
use crate::{
    audit::AuditRecord,
    clock::{Clock, SystemClock},
    error::Result,
    scope::{PlatformScope, Scope, TenantId},
};

/// A [`DataKeyStore`] in memory. Clones share their keys.
#[derive(Debug, Clone)]
pub struct MemoryDataKeyStore {
    clock: Arc<dyn Clock>,
    keys: Arc<Mutex<BTreeMap<TenantId, Vec<StoredDataKey>>>>,
}

impl Default for MemoryDataKeyStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryDataKeyStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, keys: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Vec<StoredDataKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, NewDataKey { tenant, version, wrapped, check }: NewDataKey) -> StoredDataKey {
        let (state, created_at) = (KeyState::Live { wrapped, check }, self.clock.now());
        StoredDataKey { tenant, version, state, created_at }
    }
}

#[async_trait]
impl DataKeyStore for MemoryDataKeyStore {
    async fn newest(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Option<StoredDataKey>> {
        Ok(self.lock().get(tenant).and_then(|keys| keys.last().cloned()))
    }

    async fn find(
        &self,
        _: &PlatformScope,
        tenant: &TenantId,
        version: u32,
    ) -> Result<Option<StoredDataKey>> {
        let keys = self.lock();
        let mut keys = keys.get(tenant).into_iter().flatten();
        Ok(keys.find(|key| key.version == version).cloned())
    }

    async fn all(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Vec<StoredDataKey>> {
        Ok(self.lock().get(tenant).cloned().unwrap_or_default())
    }

    async fn first(&self, _: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        let mut keys = self.lock();
        let of_tenant = keys.entry(key.tenant.clone()).or_default();
        if let Some(newest) = of_tenant.last() {
            return Ok(newest.clone());
        }
        let first = self.live(key);
        of_tenant.push(first.clone());
        Ok(first)
    }

    async fn rotate(&self, _: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        let mut keys = self.lock();
        may_follow(keys.get(&key.tenant).and_then(|keys| keys.last()), &key)?;
        let next = self.live(key);
        keys.entry(next.tenant.clone()).or_default().push(next.clone());
        Ok(next)
    }

    async fn rewrap(&self, _: &PlatformScope, tenant: &TenantId, rewraps: &[Rewrap]) -> Result<()> {
        let mut keys = self.lock();
        let of_tenant = keys.entry(tenant.clone()).or_default();
        let mut changed = of_tenant.clone();
        for rewrap in rewraps {
            let key = changed.iter_mut().find(|key| key.version == rewrap.version);
            match key.map(|key| &mut key.state) {
                Some(KeyState::Live { wrapped, .. }) if *wrapped == rewrap.from => {
                    *wrapped = rewrap.to.clone()
                }
                _ => return Err(rewrapped_meanwhile()),
            }
        }
        *of_tenant = changed;
        Ok(())
    }

    async fn shred(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Shredded> {
        let (mut keys, now) = (self.lock(), self.clock.now());
        let of_tenant = keys.entry(tenant.clone()).or_default();
        if of_tenant.is_empty() {
            let state = KeyState::Destroyed { at: now, wrapping_key: String::new() };
            of_tenant.push(StoredDataKey { tenant: tenant.clone(), version: 1, state, created_at: now });
        }
        for key in of_tenant.iter_mut() {
            if let KeyState::Live { wrapped, .. } = &mut key.state {
                let wrapping_key = std::mem::take(&mut wrapped.wrapping_key);
                key.state = KeyState::Destroyed { at: now, wrapping_key };
            }
        }
        receipt(tenant, of_tenant)
    }

    async fn tenants(
        &self,
        _: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        let keys = self.lock();
        let live = keys.iter().filter(|(_, keys)| keys.iter().any(is_live)).map(|(tenant, _)| tenant);
        let later = live.filter(|tenant| after.is_none_or(|after| *tenant > after));
        Ok(later.take(limit as usize).cloned().collect())
    }

    async fn wrapping_keys(&self, _: &PlatformScope) -> Result<Vec<(String, u64)>> {
        let mut counts = BTreeMap::<String, u64>::new();
        for key in self.lock().values().flatten() {
            if let KeyState::Live { wrapped, .. } = &key.state {
                *counts.entry(wrapped.wrapping_key.clone()).or_default() += 1;
            }
        }
        Ok(counts.into_iter().take(100).collect())
    }

    async fn record(&self, _: &Scope, _: AuditRecord) -> Result<()> {
        Ok(())
    }
}

const fn is_live(key: &StoredDataKey) -> bool {
    matches!(key.state, KeyState::Live { .. })
}
