//! The fleet of MCP servers: specifications, launching, supervision.
//!
//! A [`Fleet`] is made of a [`FleetSpec`] (an operator's `.mcp.json`) and a [`FleetConfig`]. Each tenant gets
//! its own instance of each server, started on first use; a server that the operator marks `stateless` has
//! one instance for all. An instance is owned by one task that starts it, restarts it with jittered back-off
//! when it fails, gives it up when it fails too often, and stops it when nobody uses it.

pub mod launcher;

mod config;
mod expand;
mod instance;
mod spec;
mod start;
mod state;
mod stderr;
mod usage;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, Scope, error::Detail, scope::TenantId};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::FleetConfig;
pub use spec::{FleetSpec, HttpSpec, ServerSpec, StdioSpec, TransportSpec};
pub use state::{ServerState, ServerStatus};

use crate::{
    protocol::{ProtocolVersion, ServerName},
    upstream::{Era, HttpClient, Upstream, Upstreams},
};
use instance::{Instance, Key};
use state::State;

/// How long servers may take to be gone; each has its own limits, which add up to less.
const LEAVING: Duration = Duration::from_secs(10);

/// The servers of a platform. See the [module](self).
///
/// Call [`shutdown`](Self::shutdown) before the runtime ends. A fleet that is only dropped stops its servers
/// too, but waits for none.
pub struct Fleet {
    shared: Arc<Shared>,
}

/// What instances have in common.
struct Shared {
    config: FleetConfig,
    /// Made when the first HTTP server is connected to.
    http: OnceLock<HttpClient>,
    servers: Vec<Arc<ServerSpec>>,
    instances: Mutex<HashMap<Key, Arc<Instance>>>,
    /// The era each server turned out to be of, so that later instances need not find out.
    eras: Mutex<HashMap<ServerName, Era>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    closing: AtomicBool,
    bell: Arc<Notify>,
}

impl Fleet {
    /// A fleet that has started nothing yet.
    #[must_use]
    pub fn new(spec: FleetSpec, config: FleetConfig) -> Self {
        let servers = spec.servers().iter().cloned().map(Arc::new).collect();
        let shared = Shared {
            http: OnceLock::new(),
            config,
            servers,
            instances: Mutex::default(),
            eras: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            closing: AtomicBool::new(false),
            bell: Arc::new(Notify::new()),
        };
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
        self.shared.table().get(&key).map(|instance| instance.stderr.lines()).unwrap_or_default()
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

    /// Stops every instance of a tenant and waits until they are gone. Its next use starts them again.
    pub async fn stop_tenant(&self, scope: &PlatformScope, tenant: &TenantId) {
        tracing::info!(actor = %scope.actor(), reason = scope.reason(), %tenant, "stop tenant");
        let instances = self.shared.matching(|key| key.tenant.as_ref() == Some(tenant));
        for instance in &instances {
            instance.stop.cancel();
        }
        for instance in instances {
            let _ = instance.state.subscribe().wait_for(|state| matches!(state, State::Stopped)).await;
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
        for spec in &self.shared.servers {
            let mut of_server: Vec<_> =
                instances.iter().filter(|instance| instance.key.server == spec.name).collect();
            of_server.sort_by_key(|instance| instance.key.tenant.clone());
            listing.extend(of_server.iter().map(|instance| ServerStatus {
                server: spec.name.clone(),
                tenant: instance.key.tenant.clone(),
                state: ServerState::from(&*instance.state.borrow()),
                starts: instance.starts.load(Ordering::Relaxed),
                in_flight: instance.usage.in_flight(),
            }));
            if of_server.is_empty() {
                let (server, state) = (spec.name.clone(), ServerState::Stopped);
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
        f.debug_struct("Fleet").field("servers", &self.shared.servers).finish_non_exhaustive()
    }
}

#[async_trait]
impl Upstreams for Fleet {
    fn names(&self, _scope: &Scope) -> Vec<ServerName> {
        self.shared.servers.iter().map(|spec| spec.name.clone()).collect()
    }

    async fn connect(&self, scope: &Scope, server: &ServerName) -> Result<Arc<dyn Upstream>> {
        let wait = scope.remaining(self.shared.config.start);
        tokio::time::timeout(wait, self.shared.connect(scope, server)).await.unwrap_or_else(|_| {
            Err(named(server, ErrorKind::DeadlineExceeded, "has not started within the deadline".to_owned()))
        })
    }
}

impl Shared {
    async fn connect(self: &Arc<Self>, scope: &Scope, server: &ServerName) -> Result<Arc<dyn Upstream>> {
        loop {
            let instance = self.instance(scope, server)?;
            let mut states = instance.state.subscribe();
            let settled = states.wait_for(|state| !matches!(state, State::Starting | State::Stopping)).await;
            // The sender lives in `instance`.
            let Ok(state) = settled.map(|state| state.clone()) else { continue };
            match state {
                State::Ready { upstream, .. } => {
                    instance.usage.touch();
                    return Ok(upstream);
                }
                State::BackingOff { until, reason } => {
                    return Err(failing(server, "is restarting after a failure", until, &reason));
                }
                State::GivenUp { until, reason } => {
                    return Err(failing(server, "failed too often and rests", until, &reason));
                }
                // It was about to go; there is another by now, or will be.
                State::Starting | State::Stopping | State::Stopped => {}
            }
        }
    }

    /// The instance for this scope, made and started if there is none.
    fn instance(self: &Arc<Self>, scope: &Scope, server: &ServerName) -> Result<Arc<Instance>> {
        if self.closing.load(Ordering::Acquire) {
            return Err(named(server, ErrorKind::Cancelled, "the platform is shutting down".to_owned()));
        }
        let Some(spec) = self.servers.iter().find(|spec| spec.name == *server) else {
            return Err(named(server, ErrorKind::NotFound, "there is no such server".to_owned()));
        };
        let tenant = (!spec.stateless).then(|| scope.tenant().clone());
        let key = Key { tenant, server: server.clone() };
        let mut table = self.table();
        if let Some(instance) = table.get(&key) {
            return Ok(Arc::clone(instance));
        }
        self.check_caps(&table, &key, spec)?;
        let instance = Arc::new(Instance::new(key.clone(), Arc::clone(spec), self));
        table.insert(key, Arc::clone(&instance));
        self.tasks.spawn(Arc::clone(&instance).run(Arc::clone(self)));
        Ok(instance)
    }

    fn check_caps(&self, table: &HashMap<Key, Arc<Instance>>, key: &Key, spec: &ServerSpec) -> Result<()> {
        let is_process = |spec: &ServerSpec| matches!(spec.transport, TransportSpec::Stdio(_));
        let process = is_process(spec);
        let same_kind = || table.values().filter(|instance| is_process(&instance.spec) == process);
        let (cap, what) = match process {
            true => (self.config.processes, "processes"),
            false => (self.config.connections, "connections"),
        };
        let refused = |why| Err(named(&key.server, ErrorKind::Unavailable, why));
        if same_kind().count() >= cap {
            return refused(format!("cannot start: all {cap} {what} of the platform are in use"));
        }
        let own_cap = self.config.processes_per_tenant;
        if process && same_kind().filter(|instance| instance.key.tenant == key.tenant).count() >= own_cap {
            return refused(format!("cannot start: all {own_cap} {what} of the tenant are in use"));
        }
        Ok(())
    }

    /// Takes an instance that has ended out of the table.
    fn forget(&self, instance: &Arc<Instance>) {
        let mut table = self.table();
        if table.get(&instance.key).is_some_and(|current| Arc::ptr_eq(current, instance)) {
            table.remove(&instance.key);
        }
    }

    /// Waits until no call is in flight.
    async fn drained(&self) {
        loop {
            let rung = self.bell.notified();
            if self.table().values().all(|instance| instance.usage.in_flight() == 0) {
                return;
            }
            rung.await;
        }
    }

    fn matching(&self, wanted: impl Fn(&Key) -> bool) -> Vec<Arc<Instance>> {
        self.table().iter().filter(|(key, _)| wanted(key)).map(|(_, instance)| Arc::clone(instance)).collect()
    }

    fn http(&self) -> Result<HttpClient> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        // Two at once make two, of which one is kept.
        let client = HttpClient::new()?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    fn era(&self, server: &ServerName) -> Option<Era> {
        self.eras.lock().unwrap_or_else(PoisonError::into_inner).get(server).copied()
    }

    fn remember_era(&self, server: &ServerName, version: ProtocolVersion) {
        let era = if version.is_stateless() { Era::Modern } else { Era::Legacy };
        self.eras.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone(), era);
    }

    fn forget_era(&self, server: &ServerName) {
        self.eras.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(server: &ServerName, kind: ErrorKind, why: String) -> Error {
    Error::new(kind, "fleet.connect", format!("server `{server}`: {why}"))
        .with_detail(Detail::Server { name: server.to_string() })
}

/// The reason may hold paths and the system's errors, so it is for the operator's log only.
fn failing(server: &ServerName, what: &str, until: Instant, reason: &str) -> Error {
    let wait = until.saturating_duration_since(Instant::now());
    named(server, ErrorKind::Upstream, what.to_owned())
        .with_context("reason", reason)
        .with_detail(Detail::RetryAfter(wait))
}
