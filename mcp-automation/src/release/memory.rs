//! Added servers in memory: the readable reference.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock, Timestamp},
};

use super::{
    AddedServer, MAX_PAGE, NewServer, Refusal, ReleaseStore,
    store::{already_exists, not_found},
};
use crate::{
    protocol::ServerName,
    source::{Hash, Version},
};

/// A [`ReleaseStore`] in memory. Clones share their servers.
#[derive(Debug, Clone)]
pub struct MemoryReleaseStore {
    clock: Arc<dyn Clock>,
    servers: Arc<Mutex<BTreeMap<ServerName, AddedServer>>>,
}

impl Default for MemoryReleaseStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryReleaseStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, servers: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerName, AddedServer>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        name: &ServerName,
        change: impl FnOnce(&mut AddedServer, Timestamp) -> Result<bool>,
    ) -> Result<AddedServer> {
        let mut servers = self.lock();
        let server = servers.get_mut(name).ok_or_else(|| not_found(name))?;
        let mut changed = server.clone();
        if change(&mut changed, self.clock.now())? {
            *server = changed;
        }
        Ok(server.clone())
    }
}

#[async_trait]
impl ReleaseStore for MemoryReleaseStore {
    async fn add(&self, _: &PlatformScope, server: NewServer) -> Result<AddedServer> {
        let mut servers = self.lock();
        if servers.contains_key(&server.name) {
            return Err(already_exists(&server.name));
        }
        let added = AddedServer::create(server, self.clock.now());
        servers.insert(added.name.clone(), added.clone());
        Ok(added)
    }

    async fn get(&self, _: &PlatformScope, name: &ServerName) -> Result<Option<AddedServer>> {
        Ok(self.lock().get(name).cloned())
    }

    async fn list(
        &self,
        _: &PlatformScope,
        after: Option<&ServerName>,
        limit: u32,
    ) -> Result<Vec<AddedServer>> {
        let from = after.map_or(Bound::Unbounded, |name| Bound::Excluded(name.clone()));
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        Ok(self
            .lock()
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, server)| server.clone())
            .collect())
    }

    async fn stage(
        &self,
        _: &PlatformScope,
        name: &ServerName,
        version: &Version,
        artifact: &Hash,
    ) -> Result<AddedServer> {
        self.change(name, |server, now| server.stage(version, artifact, now))
    }

    async fn activate(&self, _: &PlatformScope, name: &ServerName, version: &Version) -> Result<AddedServer> {
        self.change(name, |server, now| server.activate(version, now))
    }

    async fn fail(
        &self,
        _: &PlatformScope,
        name: &ServerName,
        version: &Version,
        reason: &str,
    ) -> Result<AddedServer> {
        self.change(name, |server, now| server.fail(version, reason, now).map(|()| true))
    }

    async fn remove(&self, _: &PlatformScope, name: &ServerName) -> Result<AddedServer> {
        self.lock().remove(name).ok_or_else(|| not_found(name))
    }

    async fn refused(&self, _: &PlatformScope, refusal: &Refusal) -> Result<()> {
        tracing::info!(server = %refusal.name, reason = refusal.reason, "a server was not added");
        Ok(())
    }
}
