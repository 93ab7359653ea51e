//! Which servers there are, and which instances of them run.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mcp_core::{Error, ErrorKind, Result, error::Detail, scope::TenantId};

use super::{
    instance::{Instance, Key},
    served::Served,
};
use crate::protocol::ServerName;

/// Servers and instances, changed together so that no call finds one without the other.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The operator's file first, in its order, then what was added.
    pub(super) servers: Vec<Arc<Served>>,
    pub(super) instances: HashMap<Key, Arc<Instance>>,
    /// Instances that take no new calls and end those in flight.
    pub(super) leaving: Vec<Arc<Instance>>,
    /// Tenants that may use no server.
    pub(super) closed: HashSet<TenantId>,
}

impl Table {
    pub(super) fn find(&self, server: &ServerName) -> Option<&Arc<Served>> {
        self.servers.iter().find(|served| served.spec.name == *server)
    }

    /// Refuses a server of the operator's file, which is changed there and nowhere else.
    pub(super) fn may_change(&self, server: &ServerName) -> Result<()> {
        match self.find(server) {
            Some(served) if !served.managed => Err(Error::new(
                ErrorKind::Conflict,
                "fleet.change",
                format!(
                    "the server `{server}` is defined in the operator's file and is changed there alone; \
                     choose another name"
                ),
            )
            .with_detail(Detail::Server { name: server.to_string() })),
            _ => Ok(()),
        }
    }

    /// Puts `served` where its predecessor was, or at the end.
    pub(super) fn put(&mut self, served: Arc<Served>) {
        match self.servers.iter_mut().find(|known| known.spec.name == served.spec.name) {
            Some(known) => *known = served,
            None => self.servers.push(served),
        }
    }

    /// Takes all instances of `server` out of the way of new calls.
    pub(super) fn retire(&mut self, server: &ServerName) -> Vec<Arc<Instance>> {
        let retired: Vec<_> =
            self.instances.extract_if(|key, _| key.server == *server).map(|(_, instance)| instance).collect();
        self.leaving.extend(retired.iter().cloned());
        retired
    }

    /// Takes an instance that has ended out.
    pub(super) fn forget(&mut self, instance: &Arc<Instance>) {
        if self.instances.get(&instance.key).is_some_and(|current| Arc::ptr_eq(current, instance)) {
            self.instances.remove(&instance.key);
        }
        self.leaving.retain(|leaving| !Arc::ptr_eq(leaving, instance));
    }

    /// All instances, also those that are leaving.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values().chain(&self.leaving)
    }
}
