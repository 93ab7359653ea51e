//! What the instances of a fleet have in common, and the way from a call to its instance.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    config::FleetConfig,
    instance::{Instance, Key},
    served::Served,
    spec::{ServerSpec, TransportSpec},
    state::State,
    table::Table,
};
use crate::{
    protocol::ServerName,
    upstream::{HttpClient, Upstream},
};

/// What instances have in common.
pub(super) struct Shared {
    pub(super) config: FleetConfig,
    /// Made when the first HTTP server is connected to.
    http: OnceLock<HttpClient>,
    table: Mutex<Table>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) closing: AtomicBool,
    pub(super) bell: Arc<Notify>,
}

impl Shared {
    pub(super) fn new(config: FleetConfig, servers: Vec<Arc<Served>>) -> Self {
        Self {
            config,
            http: OnceLock::new(),
            table: Mutex::new(Table { servers, ..Table::default() }),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            closing: AtomicBool::new(false),
            bell: Arc::new(Notify::new()),
        }
    }

    pub(super) async fn connect(
        self: &Arc<Self>,
        scope: &Scope,
        server: &ServerName,
    ) -> Result<Arc<dyn Upstream>> {
        loop {
            let instance = self.instance(scope, server)?;
            match instance.settled().await {
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
        self.check_open(server)?;
        let mut table = self.table();
        if table.closed.contains(scope.tenant()) {
            let why = "the tenant is suspended, or was until now".to_owned();
            return Err(named(server, ErrorKind::Unavailable, why));
        }
        let Some(served) = table.find(server).cloned() else {
            return Err(named(server, ErrorKind::NotFound, "there is no such server".to_owned()));
        };
        let tenant = (!served.spec.stateless).then(|| scope.tenant().clone());
        let key = Key { tenant, server: server.clone() };
        if let Some(instance) = table.instances.get(&key) {
            return Ok(Arc::clone(instance));
        }
        self.check_caps(&table, &key, &served.spec)?;
        let instance = self.launch(key.clone(), served);
        table.instances.insert(key, Arc::clone(&instance));
        Ok(instance)
    }

    /// Starts an instance that nobody else can find yet.
    pub(super) fn launch(self: &Arc<Self>, key: Key, served: Arc<Served>) -> Arc<Instance> {
        let instance = Arc::new(Instance::new(key, served, self));
        self.tasks.spawn(Arc::clone(&instance).run(Arc::clone(self)));
        instance
    }

    /// Refuses new work once the fleet is shutting down.
    pub(super) fn check_open(&self, server: &ServerName) -> Result<()> {
        if self.closing.load(Ordering::Acquire) {
            return Err(named(server, ErrorKind::Cancelled, "the platform is shutting down".to_owned()));
        }
        Ok(())
    }

    /// Instances that are leaving do not count: a switch must not fail the calls after it.
    fn check_caps(&self, table: &Table, key: &Key, spec: &ServerSpec) -> Result<()> {
        let is_process = |spec: &ServerSpec| matches!(spec.transport, TransportSpec::Stdio(_));
        let process = is_process(spec);
        let same_kind =
            || table.instances.values().filter(|instance| is_process(&instance.served.spec) == process);
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

    /// Waits until no call is in flight.
    pub(super) async fn drained(&self) {
        loop {
            let rung = self.bell.notified();
            if self.table().all().all(|instance| instance.usage.in_flight() == 0) {
                return;
            }
            rung.await;
        }
    }

    pub(super) fn matching(&self, wanted: impl Fn(&Key) -> bool) -> Vec<Arc<Instance>> {
        self.table().all().filter(|instance| wanted(&instance.key)).cloned().collect()
    }

    pub(super) fn http(&self) -> Result<HttpClient> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        // Two at once make two, of which one is kept.
        let client = HttpClient::new()?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn named(server: &ServerName, kind: ErrorKind, why: String) -> Error {
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
