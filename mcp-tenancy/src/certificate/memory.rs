//! Registered certificates in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{PlatformScope, Result, scope::TenantId};

use super::{
    CertificateIdentity, CertificateStore, CertificateSubject,
    store::{already_exists, not_found},
};
use crate::{
    key::{KeyId, parse_cursor},
    tenant::{MAX_PAGE, Page},
};

/// A [`CertificateStore`] in memory. Clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct MemoryCertificateStore {
    identities: Arc<Mutex<BTreeMap<KeyId, CertificateIdentity>>>,
}

impl MemoryCertificateStore {
    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        let mut identities = self.lock();
        let before = identities.len();
        identities.retain(|_, held| held.tenant != *tenant);
        (before - identities.len()) as u64
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyId, CertificateIdentity>> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CertificateStore for MemoryCertificateStore {
    async fn insert(&self, _: &PlatformScope, identity: CertificateIdentity) -> Result<()> {
        let mut identities = self.lock();
        let taken =
            identities.values().any(|held| held.id == identity.id || held.subject == identity.subject);
        if taken {
            return Err(already_exists(&identity.subject));
        }
        identities.insert(identity.id.clone(), identity);
        Ok(())
    }

    async fn find(
        &self,
        _: &PlatformScope,
        subjects: &[CertificateSubject],
    ) -> Result<Vec<CertificateIdentity>> {
        Ok(self.lock().values().filter(|held| subjects.contains(&held.subject)).cloned().collect())
    }

    async fn list(
        &self,
        _: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CertificateIdentity>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let identities = self.lock();
        let later = identities
            .values()
            .filter(|held| held.tenant == *tenant && after.as_ref().is_none_or(|id| held.id > *id));
        let items = later.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |held: &CertificateIdentity| held.id.to_string()))
    }

    async fn remove(&self, _: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<CertificateIdentity> {
        let mut identities = self.lock();
        if identities.get(id).is_none_or(|held| held.tenant != *tenant) {
            return Err(not_found(id));
        }
        identities.remove(id).ok_or_else(|| not_found(id))
    }
}
