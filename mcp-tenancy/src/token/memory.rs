//! Signing keys in memory: the readable reference.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::TenantId};

use super::{
    Grant, SigningKey, SigningKeyStore,
    rotation::{Plan, plan_removal, plan_rotation},
};

/// A [`SigningKeyStore`] in memory. Clones share their keys.
#[derive(Debug, Clone, Default)]
pub struct MemorySigningKeyStore {
    /// Each tenant's keys, newest first.
    keys: Arc<Mutex<HashMap<TenantId, Vec<SigningKey>>>>,
}

impl MemorySigningKeyStore {
    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        self.lock().remove(tenant).map_or(0, |keys| keys.len() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Vec<SigningKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SigningKeyStore for MemorySigningKeyStore {
    async fn keys(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Vec<SigningKey>> {
        Ok(self.lock().get(tenant).cloned().unwrap_or_default())
    }

    async fn first(&self, _: &PlatformScope, key: SigningKey) -> Result<SigningKey> {
        let mut tenants = self.lock();
        let keys = tenants.entry(key.tenant.clone()).or_default();
        if keys.is_empty() {
            keys.push(key.clone());
        }
        Ok(keys.first().cloned().unwrap_or(key))
    }

    async fn rotate(&self, _: &PlatformScope, key: SigningKey, overlap: Duration) -> Result<SigningKey> {
        let mut tenants = self.lock();
        let keys = tenants.entry(key.tenant.clone()).or_default();
        let plan = plan_rotation(keys, key.clone(), overlap)?;
        let kept = plan.insert.clone().unwrap_or(key);
        apply(keys, plan);
        Ok(kept)
    }

    async fn remove(
        &self,
        _: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        now: Timestamp,
    ) -> Result<SigningKey> {
        let mut tenants = self.lock();
        let keys = tenants.entry(tenant.clone()).or_default();
        let (removed, plan) = plan_removal(keys, kid, now)?;
        apply(keys, plan);
        Ok(removed)
    }

    async fn record(&self, _: &PlatformScope, _: &Grant) -> Result<()> {
        Ok(())
    }
}

fn apply(keys: &mut Vec<SigningKey>, plan: Plan) {
    keys.retain(|key| !plan.delete.contains(&key.kid));
    for amended in plan.amend {
        if let Some(key) = keys.iter_mut().find(|key| key.kid == amended.kid) {
            *key = amended;
        }
    }
    keys.splice(0..0, plan.insert);
}
