//! Lineages of refresh tokens in memory: the readable reference.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::TenantId};

use super::{FamilyId, MAX_FAMILIES, RefreshStore, Rotated, StoredFamily, store::already_exists};

/// A [`RefreshStore`] in memory. Clones share their lineages.
#[derive(Debug, Clone, Default)]
pub struct MemoryRefreshStore {
    families: Arc<Mutex<HashMap<FamilyId, StoredFamily>>>,
}

impl MemoryRefreshStore {
    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        let mut families = self.lock();
        let before = families.len();
        families.retain(|_, held| held.tenant != *tenant);
        (before - families.len()) as u64
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FamilyId, StoredFamily>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RefreshStore for MemoryRefreshStore {
    async fn insert(&self, _: &PlatformScope, family: StoredFamily) -> Result<()> {
        let mut families = self.lock();
        if families.contains_key(&family.id) {
            return Err(already_exists());
        }
        families.retain(|_, held| held.tenant != family.tenant || held.expires_at > family.created_at);
        let of_principal =
            |held: &&StoredFamily| held.tenant == family.tenant && held.principal.id == family.principal.id;
        let mut used: Vec<_> = families.values().filter(of_principal).collect();
        used.sort_unstable_by(|a, b| (b.rotated_at, &b.id).cmp(&(a.rotated_at, &a.id)));
        let give_way: Vec<_> =
            used.into_iter().skip(MAX_FAMILIES as usize - 1).map(|held| held.id.clone()).collect();
        for id in give_way {
            families.remove(&id);
        }
        families.insert(family.id.clone(), family);
        Ok(())
    }

    async fn find(&self, _: &PlatformScope, id: &FamilyId) -> Result<Option<StoredFamily>> {
        Ok(self.lock().get(id).cloned())
    }

    async fn rotate(&self, _: &PlatformScope, id: &FamilyId, rotated: Rotated) -> Result<bool> {
        let mut families = self.lock();
        let can = |held: &&mut StoredFamily| held.digest == rotated.from && held.revoked_at.is_none();
        let Some(held) = families.get_mut(id).filter(can) else { return Ok(false) };
        *held = held.clone().rotated(&rotated);
        Ok(true)
    }

    async fn revoke(&self, _: &PlatformScope, id: &FamilyId, at: Timestamp, _: &'static str) -> Result<()> {
        if let Some(held) = self.lock().get_mut(id) {
            held.revoked_at.get_or_insert(at);
        }
        Ok(())
    }
}
