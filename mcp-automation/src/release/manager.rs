//! Adding servers, putting releases to use, removing servers.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use mcp_core::{
    Error, ErrorKind, PlatformScope, Result,
    clock::{Clock, Timestamp},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    AddedServer, Installed, Installer, NewServer, Operation, OperationId, OperationKind, Refusal,
    ReleaseStore, Settings,
    operation::{Ending, Operations},
    reconcile::Followed,
};
use crate::{
    fleet::{Fleet, ServerSpec},
    protocol::ServerName,
    source::{PackageRef, Phase, Reporter, Version},
};

/// What [`Releases`] works with.
#[derive(Debug)]
pub struct ReleasesDeps {
    /// Where servers run.
    pub fleet: Arc<Fleet>,
    /// Where they are remembered.
    pub store: Arc<dyn ReleaseStore>,
    /// What brings them here.
    pub installer: Installer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often the store is compared with what runs, which is how a replica learns what another one did.
    pub compare_every: Duration,
}

/// The life of added servers, from a package's name to calls and back.
///
/// The store says what is to serve; the fleet is led there. So a replica that starts, or that did not make the
/// change itself, [reconciles](Self::reconcile): it mounts what the store says, and installs what is missing here.
///
/// Call [`shutdown`](Self::shutdown) before the fleet's.
pub struct Releases {
    pub(super) deps: ReleasesDeps,
    pub(super) operations: Arc<Operations>,
    /// What this process runs of each server.
    pub(super) local: Mutex<HashMap<ServerName, Followed>>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Releases {
    /// Nothing is mounted yet: call [`start`](Self::start).
    #[must_use]
    pub fn new(deps: ReleasesDeps) -> Arc<Self> {
        Arc::new(Self {
            deps,
            operations: Arc::default(),
            local: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Begins to add a server: its release is resolved, downloaded, verified, installed and checked, and then
    /// serves. The operation says how far it is.
    ///
    /// # Errors
    /// `InvalidInput` for settings that break a rule, [`Conflict`](ErrorKind::Conflict) for a name of the
    /// operator's file or one that is worked on, [`AlreadyExists`](ErrorKind::AlreadyExists),
    /// [`RateLimited`](ErrorKind::RateLimited) when too many operations run.
    pub async fn add(
        self: &Arc<Self>,
        scope: PlatformScope,
        name: ServerName,
        package: PackageRef,
        settings: Settings,
    ) -> Result<Operation> {
        settings.validate()?;
        self.deps.fleet.may_change(&name)?;
        if self.deps.store.get(&scope, &name).await?.is_some() {
            return Err(super::store::already_exists(&name));
        }
        self.begin(OperationKind::Add, scope, name, package, Some(settings))
    }

    /// Begins to put `version` of a server to use, or the latest where it is `None`: it is installed if it is
    /// not here, started and checked; then new calls go to it, and those in flight end on the one before.
    ///
    /// # Errors
    /// As [`add`](Self::add); `NotFound` for a server that was not added.
    pub async fn use_release(
        self: &Arc<Self>,
        scope: PlatformScope,
        name: ServerName,
        version: Option<Version>,
    ) -> Result<Operation> {
        self.deps.fleet.may_change(&name)?;
        let server = self.server(&scope, &name).await?;
        let package = PackageRef { package: server.package, version };
        self.begin(OperationKind::Use, scope, name, package, None)
    }

    /// Removes a server: it takes no new call, those in flight end, and its releases leave this machine.
    ///
    /// # Errors
    /// `NotFound`, [`Conflict`](ErrorKind::Conflict) for one of the operator's file or one that is worked on.
    pub async fn remove(&self, scope: &PlatformScope, name: &ServerName) -> Result<AddedServer> {
        self.deps.fleet.may_change(name)?;
        if self.operations.is_busy(name) {
            let why = format!("an operation works on the server `{name}`; wait for it");
            return Err(Error::new(ErrorKind::Conflict, "server.remove", why));
        }
        let removed = self.deps.store.remove(scope, name).await?;
        self.unmount(scope, &removed).await;
        Ok(removed)
    }

    /// The server of that name.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn server(&self, scope: &PlatformScope, name: &ServerName) -> Result<AddedServer> {
        self.deps.store.get(scope, name).await?.ok_or_else(|| super::store::not_found(name))
    }

    /// Up to `limit` servers in the order of their names, after `after`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn servers(
        &self,
        scope: &PlatformScope,
        after: Option<&ServerName>,
        limit: u32,
    ) -> Result<Vec<AddedServer>> {
        self.deps.store.list(scope, after, limit).await
    }

    /// An operation that this process began and still remembers.
    #[must_use]
    pub fn operation(&self, _scope: &PlatformScope, id: OperationId) -> Option<Operation> {
        self.operations.get(id)
    }

    /// Ends what runs in the background; operations in flight are given up and leave nothing.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn begin(
        self: &Arc<Self>,
        kind: OperationKind,
        scope: PlatformScope,
        name: ServerName,
        package: PackageRef,
        settings: Option<Settings>,
    ) -> Result<Operation> {
        if self.stop.is_cancelled() {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "server.operation",
                "the platform is shutting down",
            ));
        }
        let (id, report) = self.operations.begin(kind, &name, package.clone(), self.now())?;
        let this = Arc::clone(self);
        let ending =
            Ending { operations: Arc::clone(&self.operations), id, clock: Arc::clone(&self.deps.clock) };
        self.tasks.spawn(async move {
            let ending = ending;
            let work = async {
                match &settings {
                    Some(settings) => this.add_now(&scope, &name, &package, settings, &report).await,
                    None => this.use_now(&scope, &name, &package, &report).await,
                }
            };
            let Some(ended) = this.stop.run_until_cancelled(work).await else { return };
            match &ended {
                Ok(version) => tracing::info!(server = %name, %version, "a release serves"),
                Err(error) => tracing::warn!(server = %name, %package, error = error.report(), "no release was put to use"),
            }
            let outcome = if ended.is_ok() { "done" } else { "failed" };
            metrics::counter!("mcp_server_operations_total", "outcome" => outcome).increment(1);
            report.phase(Phase::Done);
            this.operations.end(ending.id, ended, this.now());
        });
        self.operations.get(id).ok_or_else(|| Error::internal("server.operation", "an operation was lost"))
    }

    async fn add_now(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        package: &PackageRef,
        settings: &Settings,
        report: &Reporter,
    ) -> Result<Version> {
        let added = self.try_add(scope, name, package, settings, report).await;
        if let Err(error) = &added {
            let reason = error.message().to_owned();
            let refusal = Refusal { name: name.clone(), package: package.clone(), reason };
            self.deps.store.refused(scope, &refusal).await?;
        }
        added
    }

    async fn try_add(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        package: &PackageRef,
        settings: &Settings,
        report: &Reporter,
    ) -> Result<Version> {
        let installed = self.deps.installer.install(name, package, report).await?;
        let put = async {
            report.phase(Phase::Checking);
            let candidate = self.deps.fleet.try_out(scope, spec(name, &installed, settings)).await?;
            report.phase(Phase::Activating);
            let manifest = installed.manifest();
            let new = NewServer {
                name: name.clone(),
                package: manifest.package.clone(),
                settings: settings.clone(),
                version: manifest.version.clone(),
                artifact: manifest.artifact.clone(),
            };
            // Committed first: where the process dies between the two, the next start mounts it.
            let added = self.deps.store.add(scope, new).await?;
            self.deps.fleet.adopt(scope, candidate)?;
            self.runs(&added);
            Ok(manifest.version.clone())
        };
        let put: Result<Version> = put.await;
        if put.is_err() && !self.deps.store.get(scope, name).await.is_ok_and(|server| server.is_some()) {
            let manifest = installed.manifest();
            self.deps.installer.remove(name, &manifest.version, &manifest.artifact).await?;
        }
        put
    }

    async fn use_now(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        package: &PackageRef,
        report: &Reporter,
    ) -> Result<Version> {
        let server = self.server(scope, name).await?;
        let store = &self.deps.store;
        let installed = self.bring(name, &server, package, report).await?;
        let (version, artifact) = (&installed.manifest().version, &installed.manifest().artifact);
        let server = store.stage(scope, name, version, artifact).await?;
        report.phase(Phase::Checking);
        let candidate = match self.deps.fleet.try_out(scope, spec(name, &installed, &server.settings)).await {
            Ok(candidate) => candidate,
            Err(error) => {
                if server.active().is_none_or(|active| active.version != *version) {
                    store.fail(scope, name, version, error.message()).await?;
                }
                return Err(error);
            }
        };
        report.phase(Phase::Activating);
        let server = store.activate(scope, name, version).await?;
        self.deps.fleet.adopt(scope, candidate)?;
        self.runs(&server);
        Ok(version.clone())
    }

    /// The release in its folder: as it lies there where it was used before, so that going back needs no
    /// registry; else installed.
    async fn bring(
        &self,
        name: &ServerName,
        server: &AddedServer,
        package: &PackageRef,
        report: &Reporter,
    ) -> Result<Installed> {
        let known = package.version.as_ref().and_then(|version| server.release(version));
        if let Some(known) = known {
            report.phase(Phase::Verifying);
            match self.deps.installer.load(name, &known.version, &known.artifact).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                loaded => return loaded,
            }
        }
        self.deps.installer.install(name, package, report).await
    }

    pub(super) fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }
}

/// How the fleet runs an installed release of a server with these settings.
pub(super) fn spec(name: &ServerName, installed: &Installed, settings: &Settings) -> ServerSpec {
    let mut spec = installed.spec(name.clone(), &settings.args, &settings.env);
    (spec.stateless, spec.timeout) = (settings.stateless, settings.timeout);
    spec
}

impl fmt::Debug for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Releases").field("deps", &self.deps).finish_non_exhaustive()
    }
}
