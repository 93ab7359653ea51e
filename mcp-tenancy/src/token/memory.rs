//! Signing keys in memory: the readable reference.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{PlatformScope, Result, scope::TenantId};

use super::{Grant, SigningKey, SigningKeyStore};

/// A [`SigningKeyStore`] in memory. Clones share their keys.
#[derive(Debug, Clone, Default)]
pub struct MemorySigningKeyStore {
    keys: Arc<Mutex<HashMap<TenantId, SigningKey>>>,
}

#[async_trait]
impl SigningKeyStore for MemorySigningKeyStore {
    async fn keys(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Vec<SigningKey>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.get(tenant).cloned().into_iter().collect())
    }

    async fn first(&self, _: &PlatformScope, key: SigningKey) -> Result<SigningKey> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.entry(key.tenant.clone()).or_insert(key).clone())
    }

    async fn record(&self, _: &PlatformScope, _: &Grant) -> Result<()> {
        Ok(())
    }
}
