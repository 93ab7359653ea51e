//! Leading this process's fleet to what the store says.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use mcp_core::{ErrorKind, PlatformScope, Result, scope::PrincipalId};
use tokio::time::Instant;

use super::{AddedServer, MAX_PAGE, Release, Releases, manager::spec};
use crate::{
    protocol::ServerName,
    source::{PackageRef, Reporter, Version},
};

/// The longest wait before a server that cannot be served from here is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What this process knows of a server.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    local: Local,
    /// Failures in a row.
    failures: u32,
    /// Not tried again before.
    until: Instant,
}

/// What this process runs of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// This version takes its calls.
    Serves(Version),
    /// The version is not on this machine and is being installed.
    Installing(Version),
    /// The version cannot be served from here; it is tried again.
    Failed {
        /// The version.
        version: Version,
        /// Why.
        reason: String,
    },
}

impl Releases {
    /// Mounts what the store says and this machine has; what it has not is installed in the background. Then
    /// compares again from time to time.
    ///
    /// # Errors
    /// `Unavailable` if the store is away.
    pub async fn start(self: &Arc<Self>) -> Result<()> {
        let scope = PlatformScope::new(PrincipalId::parse("releases")?, "leads the fleet to what was added");
        self.reconcile(&scope).await?;
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let stop = this.stop.clone();
            stop.run_until_cancelled(async {
                loop {
                    tokio::time::sleep(this.deps.compare_every).await;
                    if let Err(error) = this.reconcile(&scope).await {
                        tracing::warn!(
                            error = error.report(),
                            "added servers cannot be compared with the store"
                        );
                    }
                }
            })
            .await;
        });
        Ok(())
    }

    /// Compares the store with what runs here, once: mounts, switches and unmounts.
    ///
    /// # Errors
    /// `Unavailable` if the store is away. A server that cannot be served is no error but [`Local::Failed`].
    pub async fn reconcile(self: &Arc<Self>, scope: &PlatformScope) -> Result<()> {
        let wanted = self.all(scope).await?;
        for server in &wanted {
            if !self.operations.is_busy(&server.name) {
                self.follow(scope, server).await;
            }
        }
        let gone: Vec<_> = self
            .table()
            .keys()
            .filter(|name| !wanted.iter().any(|one| one.name == **name))
            .cloned()
            .collect();
        for name in gone {
            // Asked again: it may have been added since.
            if !self.operations.is_busy(&name) && self.deps.store.get(scope, &name).await?.is_none() {
                self.table().remove(&name);
                self.deps.fleet.remove(scope, &name).await?;
            }
        }
        metrics::gauge!("mcp_added_servers").set(f64::from(u32::try_from(wanted.len()).unwrap_or(u32::MAX)));
        Ok(())
    }

    /// What this process runs of `server`.
    #[must_use]
    pub fn local(&self, server: &ServerName) -> Option<Local> {
        self.table().get(server).map(|followed| followed.local.clone())
    }

    async fn follow(self: &Arc<Self>, scope: &PlatformScope, server: &AddedServer) {
        let Some(active) = server.active() else { return };
        let local = self.local(&server.name);
        match &local {
            Some(Local::Serves(version) | Local::Installing(version)) if *version == active.version => return,
            Some(Local::Failed { version, .. }) if *version == active.version && self.waits(&server.name) => {
                return;
            }
            _ => {}
        }
        match self.mount(scope, server, active, local.is_some()).await {
            Ok(()) => self.runs(server),
            Err(error) if error.kind() == ErrorKind::NotFound => self.install(scope, server, active),
            Err(error) => self.failed(&server.name, &active.version, &error),
        }
    }

    /// Lets the active release serve here. It was checked when it was put to use; where another one serves, it
    /// is checked here too, so that calls go from one that runs to one that runs.
    async fn mount(
        &self,
        scope: &PlatformScope,
        server: &AddedServer,
        active: &Release,
        check: bool,
    ) -> Result<()> {
        let installed = self.deps.installer.load(&server.name, &active.version, &active.artifact).await?;
        let spec = spec(&server.name, &installed, &server.settings);
        if check {
            let candidate = self.deps.fleet.try_out(scope, spec).await?;
            return self.deps.fleet.adopt(scope, candidate);
        }
        self.deps.fleet.mount(scope, spec)
    }

    fn install(self: &Arc<Self>, scope: &PlatformScope, server: &AddedServer, active: &Release) {
        let (name, version, artifact) =
            (server.name.clone(), active.version.clone(), active.artifact.clone());
        tracing::info!(server = %name, %version, "the release is not on this machine; it is installed");
        self.note(&name, Local::Installing(version.clone()));
        let package = PackageRef { package: server.package.clone(), version: Some(version.clone()) };
        let (this, scope) = (Arc::clone(self), scope.clone());
        self.tasks.spawn(async move {
            let stop = this.stop.clone();
            let work = async {
                let installed = this.deps.installer.install(&name, &package, &Reporter::default()).await?;
                if installed.manifest().artifact != artifact {
                    let why = format!(
                        "the registry's artifact of {version} is another than the one that was added"
                    );
                    return Err(mcp_core::Error::new(ErrorKind::Conflict, "server.reconcile", why));
                }
                let server = this.server(&scope, &name).await?;
                match server.active() {
                    Some(active) if active.version == version => {
                        this.mount(&scope, &server, active, false).await?;
                        this.runs(&server);
                        Ok(())
                    }
                    // Something else is to serve by now; the next comparison finds it.
                    _ => {
                        this.table().remove(&name);
                        Ok(())
                    }
                }
            };
            if let Some(Err(error)) = stop.run_until_cancelled(work).await {
                this.failed(&name, &version, &error);
            }
        });
    }

    /// Takes a removed server and its releases away from this process and machine.
    pub(super) async fn unmount(&self, scope: &PlatformScope, removed: &AddedServer) {
        self.table().remove(&removed.name);
        if let Err(error) = self.deps.fleet.remove(scope, &removed.name).await {
            tracing::warn!(server = %removed.name, error = error.report(), "a removed server is still there");
        }
        for release in &removed.releases {
            let gone = self.deps.installer.remove(&removed.name, &release.version, &release.artifact).await;
            if let Err(error) = gone {
                tracing::warn!(server = %removed.name, error = error.report(), "a removed release is left");
            }
        }
    }

    /// Remembers that the server's active release serves here.
    pub(super) fn runs(&self, server: &AddedServer) {
        if let Some(active) = server.active() {
            self.note(&server.name, Local::Serves(active.version.clone()));
        }
    }

    fn failed(&self, name: &ServerName, version: &Version, error: &mcp_core::Error) {
        tracing::warn!(server = %name, %version, error = error.report(), "an added server cannot be served here");
        metrics::counter!("mcp_added_server_failures_total").increment(1);
        let failed = Local::Failed { version: version.clone(), reason: error.message().to_owned() };
        self.note(name, failed);
    }

    /// Remembers what became of a server here; a failure is tried again after a wait that doubles.
    fn note(&self, name: &ServerName, local: Local) {
        let mut table = self.table();
        let before = table.get(name).map_or(0, |followed| followed.failures);
        let failures = match &local {
            Local::Serves(_) => 0,
            Local::Installing(_) => before,
            Local::Failed { .. } => before.saturating_add(1),
        };
        let wait = self.deps.compare_every.saturating_mul(2u32.saturating_pow(failures)).min(LONGEST_WAIT);
        table.insert(name.clone(), Followed { local, failures, until: Instant::now() + wait });
    }

    /// Whether it is too early to try a server again that failed.
    fn waits(&self, name: &ServerName) -> bool {
        self.table().get(name).is_some_and(|followed| Instant::now() < followed.until)
    }

    async fn all(&self, scope: &PlatformScope) -> Result<Vec<AddedServer>> {
        let mut all: Vec<AddedServer> = Vec::new();
        loop {
            let after = all.last().map(|server| server.name.clone());
            let page = self.deps.store.list(scope, after.as_ref(), MAX_PAGE).await?;
            let last = page.len() < MAX_PAGE as usize;
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<ServerName, Followed>> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
