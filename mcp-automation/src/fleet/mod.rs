//! The fleet of MCP servers: specifications, launching, supervision.
//!
//! A [`Fleet`] is made of a [`FleetSpec`] (an operator's `.mcp.json`) and a [`FleetConfig`]. Each tenant gets
//! its own instance of each server, started on first use; a server that the operator marks `stateless` has
//! one instance for all. An instance is owned by one task that starts it, restarts it with jittered back-off
//! when it fails, gives it up when it fails too often, and stops it when nobody uses it.
//!
//! Beside the file's servers, which stay as they are, others can be added, replaced and removed while the fleet
//! runs: [`Fleet::try_out`] starts one and checks it, [`Fleet::adopt`] lets new calls go there while those in
//! flight end where they began.

pub mod launcher;

mod candidate;
mod config;
mod expand;
mod instance;
mod served;
mod shared;
mod spec;
mod start;
mod state;
mod stderr;
mod table;
mod usage;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{ErrorKind, PlatformScope, Result, Scope, scope::TenantId};

pub use candidate::Candidate;
pub use config::FleetConfig;
pub use spec::{FleetSpec, HttpSpec, ServerSpec, StdioSpec, TransportSpec};
pub use state::{ServerState, ServerStatus};

use crate::{
    protocol::ServerName,
    upstream::{Upstream, Upstreams},
};
use instance::Key;
use served::Served;
use shared::{Shared, named};

/// How long servers may take to be gone; each has its own limits, which add up to less.
const LEAVING: Duration = Duration::from_secs(10);

/// The servers of a platform. See the [module](self).
///
/// Call [`shutdown`](Self::shutdown) before the runtime ends. A fleet that is only dropped stops its servers
/// too, but waits for none.
pub struct Fleet {
    shared: Arc<Shared>,
}

impl Fleet {
    /// A fleet that has started nothing yet.
    #[must_use]
    pub fn new(spec: FleetSpec, config: FleetConfig) -> Self {
        let servers = spec.servers().iter().cloned().map(|spec| Served::new(spec, false)).collect();
        let shared = Shared::new(config, servers);
        Self { shared: Arc::new(shared) }
    }

    /// Every instance, and every server without one, in the operator's order.
    #[must_use]
    pub fn status(&self, _scope: &PlatformScope) -> Vec<ServerStatus> {
        self.listing(|_| true)
    }

    /// The tenant's own instances and the shared ones, and every server without one; without the reasons of
    /// failures, which are the operator's.
    #[must_use]
    pub fn tenant_status(&self, scope: &Scope) -> Vec<ServerStatus> {
        let own = |key: &Key| key.tenant.as_ref().is_none_or(|tenant| tenant == scope.tenant());
        let mut listing = self.listing(own);
        for line in &mut listing {
            if let ServerState::BackingOff { reason, .. } | ServerState::GivenUp { reason, .. } =
                &mut line.state
            {
                reason.clear();
            }
        }
        listing
    }

    /// The last lines an instance wrote to its stderr, oldest first; `tenant` is `None` for a shared one.
    #[must_use]
    pub fn stderr(
        &self,
        _scope: &PlatformScope,
        tenant: Option<&TenantId>,
        server: &ServerName,
    ) -> Vec<String> {
        let key = Key { tenant: tenant.cloned(), server: server.clone() };
        self.shared.table().instances.get(&key).map(|instance| instance.stderr.lines()).unwrap_or_default()
    }

    /// Starts the instances of `server` over, all tenants' or one's; also one that is backing off or given up.
    /// Calls in flight fail.
    pub fn restart(&self, scope: &PlatformScope, tenant: Option<&TenantId>, server: &ServerName) {
        tracing::info!(actor = %scope.actor(), reason = scope.reason(), %server, "restart");
        for instance in self
            .shared
            .matching(|key| key.server == *server && (tenant.is_none() || key.tenant.as_ref() == tenant))
        {
            instance.restart.notify_one();
        }
    }

    /// Closes these tenants and opens all others: a closed one is refused
    /// ([`Unavailable`](ErrorKind::Unavailable)), and its own instances stop, whoever uses them; nobody has to
    /// wait for that.
    ///
    /// `closed` is asked when it is this call's turn, so that of two calls at once the later one's answer stays.
    pub fn close_tenants(&self, scope: &PlatformScope, closed: impl FnOnce() -> HashSet<TenantId>) {
        let mut table = self.shared.table();
        table.closed = closed();
        for instance in table.all() {
            let Some(tenant) = &instance.key.tenant else { continue };
            if table.closed.contains(tenant) && !instance.stop.is_cancelled() {
                let server = &instance.key.server;
                tracing::info!(actor = %scope.actor(), reason = scope.reason(), %server, %tenant, "stop");
                instance.stop.cancel();
            }
        }
    }

    /// Refuses new work, waits up to `grace` for calls in flight, then stops everything and returns when
    /// nothing is left, or 10 s later with a warning that names what is.
    ///
    /// # Cancellation
    /// Safe: what has begun to stop goes on stopping.
    pub async fn shutdown(&self, grace: Duration) {
        self.shared.closing.store(true, Ordering::Release);
        let _ = tokio::time::timeout(grace, self.shared.drained()).await;
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(LEAVING, self.shared.tasks.wait()).await.is_err() {
            for instance in self.shared.matching(|_| true) {
                let (server, tenant) = (&instance.key.server, instance.key.tenant.as_ref());
                let state = ServerState::from(&*instance.state.borrow()).as_str();
                tracing::warn!(%server, tenant = tenant.map(TenantId::as_str), state, "left at shutdown");
            }
        }
    }

    fn listing(&self, wanted: impl Fn(&Key) -> bool) -> Vec<ServerStatus> {
        let instances = self.shared.matching(wanted);
        let mut listing = Vec::new();
        let servers = self.shared.table().servers.clone();
        for served in &servers {
            let name = &served.spec.name;
            let mut of_server: Vec<_> =
                instances.iter().filter(|instance| instance.key.server == *name).collect();
            of_server.sort_by_key(|instance| instance.key.tenant.clone());
            listing.extend(of_server.iter().map(|instance| ServerStatus {
                server: name.clone(),
                tenant: instance.key.tenant.clone(),
                state: instance.shown(),
                starts: instance.starts.load(Ordering::Relaxed),
                in_flight: instance.usage.in_flight(),
            }));
            if of_server.is_empty() {
                let (server, state) = (name.clone(), ServerState::Stopped);
                listing.push(ServerStatus { server, tenant: None, state, starts: 0, in_flight: 0 });
            }
        }
        listing
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("servers", &self.shared.table().servers).finish_non_exhaustive()
    }
}

#[async_trait]
impl Upstreams for Fleet {
    fn names(&self, _scope: &Scope) -> Vec<ServerName> {
        self.shared.table().servers.iter().map(|served| served.spec.name.clone()).collect()
    }

    async fn connect(&self, scope: &Scope, server: &ServerName) -> Result<Arc<dyn Upstream>> {
        let wait = scope.remaining(self.shared.config.start);
        tokio::time::timeout(wait, self.shared.connect(scope, server)).await.unwrap_or_else(|_| {
            Err(named(server, ErrorKind::DeadlineExceeded, "has not started within the deadline".to_owned()))
        })
    }
}
