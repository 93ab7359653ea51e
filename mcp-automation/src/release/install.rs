//! From a package's name to a folder that a server can be started from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mcp_core::{Error, ErrorKind, Result, clock::Clock, key::Secret};
use url::Url;

use super::{
    folder::{self, Staging},
    manifest::{Entry, FILE, Manifest, Runtime},
    pypi, tool, tree,
};
use crate::{
    archive::{self, ArchiveLimits},
    fleet::{ServerSpec, StdioSpec, TransportSpec, launcher::Launcher},
    protocol::ServerName,
    source::{
        ClientLimits, Hash, NpmSource, Package, PackageRef, Phase, PypiSource, Registry, RegistryClient,
        Reporter, Resolved, Source, Version,
    },
};

pub(super) const NODE: &str = "node";
pub(super) const NPM: &str = "npm";
pub(super) const PYTHON: &str = "python3";

/// Variables of the platform's own environment that package managers may see: how to reach registries, and
/// whom to trust.
const PASSED_ON: [&str; 12] = [
    "PATH",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

/// Where releases are installed, from where and by what.
#[derive(Debug, Clone)]
pub struct InstallerConfig {
    /// The folder of all releases.
    pub dir: PathBuf,
    /// The npm registry. Default: the public one.
    pub npm_registry: Url,
    /// The Python index. Default: the public one.
    pub pypi_index: Url,
    /// Programs that are elsewhere than their names in `PATH` say: `node`, `npm`, `python3`. Default: none.
    pub tools: BTreeMap<String, PathBuf>,
    /// The environment of package managers. Default: of this process's, `PATH`, the proxies and the certificate
    /// authorities.
    pub env: BTreeMap<String, String>,
    /// How long one run of a package manager may take. Default 600 s.
    pub install: Duration,
    /// What a registry may cost.
    pub client: ClientLimits,
    /// What an archive may hold.
    pub archive: ArchiveLimits,
    /// Which program launches package managers, so that they end with the platform. Default: this one.
    pub launcher: Launcher,
}

impl InstallerConfig {
    /// The defaults that each field says, with releases in `dir`.
    ///
    /// # Errors
    /// None in practice; the result spares an unwrap.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self> {
        let url = |text: &str| {
            Url::parse(text).map_err(|_| Error::internal("release.config", "a registry's address is no URL"))
        };
        let env = PASSED_ON.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
        Ok(Self {
            dir: dir.into(),
            npm_registry: url(NpmSource::PUBLIC)?,
            pypi_index: url(PypiSource::PUBLIC)?,
            tools: BTreeMap::new(),
            env: env.collect(),
            install: Duration::from_secs(600),
            client: ClientLimits::default(),
            archive: ArchiveLimits::default(),
            launcher: Launcher::default(),
        })
    }
}

/// Brings releases into their folders. Nothing of a server is run by it.
#[derive(Debug)]
pub struct Installer {
    config: InstallerConfig,
    npm: Arc<dyn Source>,
    pypi: Arc<dyn Source>,
    clock: Arc<dyn Clock>,
}

/// A release in its folder, found to be what was installed.
#[derive(Debug, Clone)]
pub struct Installed {
    folder: PathBuf,
    manifest: Manifest,
    program: PathBuf,
}

/// What an installation works on.
pub(super) struct Staged {
    pub(super) artifact: PathBuf,
    /// What becomes the release's folder.
    pub(super) tree: PathBuf,
    /// The package manager's home, which goes away.
    pub(super) home: PathBuf,
}

impl Installer {
    /// An installer; removes what installations left that never ended.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) where the runtime is shutting down.
    pub async fn open(config: InstallerConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let client = RegistryClient::new(config.client.clone());
        let npm = Arc::new(NpmSource::new(client.clone(), config.npm_registry.clone()));
        let pypi = Arc::new(PypiSource::new(client, config.pypi_index.clone()));
        let dir = config.dir.clone();
        let swept = blocking(move || Ok(folder::sweep(&dir))).await?;
        if swept > 0 {
            tracing::info!(swept, "installations that never ended were removed");
        }
        Ok(Self { config, npm, pypi, clock })
    }

    /// The registry that `package` comes from.
    #[must_use]
    pub fn source(&self, package: &Package) -> &dyn Source {
        match package.registry() {
            Registry::Npm => &*self.npm,
            Registry::Pypi => &*self.pypi,
        }
    }

    /// Brings a release of `server` into its folder: resolves, downloads, compares with the registry's hash,
    /// looks through the archive and installs it with its dependencies. One that is there already is verified.
    ///
    /// # Errors
    /// As [`Source::resolve`], [`Source::download`] and [`archive`]; [`Upstream`](ErrorKind::Upstream) with the
    /// package manager's words where that fails. Nothing is left then.
    ///
    /// # Cancellation
    /// Safe: what was begun is removed.
    pub async fn install(
        &self,
        server: &ServerName,
        wanted: &PackageRef,
        report: &Reporter,
    ) -> Result<Installed> {
        let registry = wanted.package.registry().as_str();
        let installed = self.try_install(server, wanted, report).await;
        let outcome = if installed.is_ok() { "done" } else { "failed" };
        metrics::counter!("mcp_release_installs_total", "registry" => registry, "outcome" => outcome)
            .increment(1);
        installed
    }

    async fn try_install(
        &self,
        server: &ServerName,
        wanted: &PackageRef,
        report: &Reporter,
    ) -> Result<Installed> {
        report.phase(Phase::Resolving);
        let source = self.source(&wanted.package);
        let artifact = source.resolve(&wanted.package, wanted.version.as_ref()).await?;
        let to = folder::release(&self.config.dir, server, &artifact.version, &artifact.hash);
        if tokio::fs::try_exists(&to).await.unwrap_or(false) {
            report.phase(Phase::Verifying);
            return self.load(server, &artifact.version, &artifact.hash).await;
        }
        let dir = self.config.dir.clone();
        let staging = blocking(move || Staging::make(&dir)).await?;
        let staged = Staged {
            artifact: staging.path().join(&artifact.file),
            tree: staging.path().join("tree"),
            home: staging.path().join("home"),
        };
        for folder in [&staged.tree, &staged.home] {
            tokio::fs::create_dir(folder).await.map_err(|error| unwritable(folder, error))?;
        }
        let unpacked = async {
            source.download(&artifact, &staged.artifact, report).await?;
            self.unpack(&artifact, &staged, report).await
        };
        let entry = match unpacked.await {
            Ok(entry) => entry,
            Err(error) => {
                blocking(move || {
                    drop(staging);
                    Ok(())
                })
                .await?;
                return Err(error);
            }
        };

        let (now, publish) = (self.clock.now(), to.clone());
        blocking(move || {
            let manifest = Manifest::new(&artifact, entry, tree::digest(&staged.tree, FILE)?, now);
            staging.publish(&staged.tree, &manifest, &publish)?;
            Ok(manifest)
        })
        .await
        .and_then(|manifest| self.installed(to, manifest))
    }

    async fn unpack(&self, artifact: &Resolved, staged: &Staged, report: &Reporter) -> Result<Entry> {
        report.phase(Phase::Inspecting);
        let (path, limits) = (staged.artifact.clone(), self.config.archive.clone());
        match artifact.package.registry() {
            Registry::Npm => {
                let package = blocking(move || archive::inspect_npm(&path, &limits)).await?;
                report.phase(Phase::Installing);
                self.install_npm(artifact, staged, &package).await
            }
            Registry::Pypi => {
                let wheel = blocking(move || archive::inspect_wheel(&path, &limits)).await?;
                report.phase(Phase::Installing);
                self.install_pypi(artifact, staged, &wheel).await
            }
        }
    }

    /// The release in its folder, compared with what was installed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where it is not on this machine, [`Corrupted`](ErrorKind::Corrupted)
    /// where it was changed since.
    pub async fn load(&self, server: &ServerName, version: &Version, artifact: &Hash) -> Result<Installed> {
        let at = folder::release(&self.config.dir, server, version, artifact);
        let folder = at.clone();
        let (server, version, artifact) = (server.clone(), version.clone(), artifact.clone());
        let manifest = blocking(move || {
            let text = std::fs::read(folder.join(FILE)).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::not_found(
                    "release.load",
                    format!("release {version} of `{server}` is not on this machine"),
                ),
                _ => unwritable(&folder, error),
            })?;
            let manifest = Manifest::parse(&text)?;
            if manifest.artifact != artifact || manifest.tree != tree::digest(&folder, FILE)? {
                let why = format!(
                    "release {version} of `{server}` was changed since it was installed; it is not started: \
                     remove {} to have it installed again",
                    folder.display()
                );
                return Err(Error::new(ErrorKind::Corrupted, "release.load", why));
            }
            Ok(manifest)
        })
        .await?;
        self.installed(at, manifest)
    }

    /// Removes a release's folder from this machine; one that is not there is removed already.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) where the disk refuses.
    pub async fn remove(&self, server: &ServerName, version: &Version, artifact: &Hash) -> Result<()> {
        let at = folder::release(&self.config.dir, server, version, artifact);
        blocking(move || {
            tree::remove(&at)?;
            // The server's own folder goes with its last release.
            let _ = std::fs::remove_dir(at.parent().unwrap_or(&at));
            Ok(())
        })
        .await
    }

    fn installed(&self, folder: PathBuf, manifest: Manifest) -> Result<Installed> {
        let program = match manifest.runtime {
            Runtime::Node => self.tool(NODE)?,
            Runtime::Python => folder.join(pypi::ENVIRONMENT).join("bin/python"),
        };
        Ok(Installed { folder, manifest, program })
    }

    pub(super) const fn config(&self) -> &InstallerConfig {
        &self.config
    }

    pub(super) fn tool(&self, name: &str) -> Result<PathBuf> {
        let configured = self.config.tools.get(name).map_or_else(|| Path::new(name), PathBuf::as_path);
        tool::find(configured, &self.config.env)
    }

    /// The environment of a package manager whose home is `home`.
    pub(super) fn tool_env(&self, home: &Path) -> BTreeMap<String, String> {
        let mut env = self.config.env.clone();
        env.insert("HOME".to_owned(), home.display().to_string());
        if let Some(authorities) = env.get("SSL_CERT_FILE").cloned() {
            env.entry("NODE_EXTRA_CA_CERTS".to_owned()).or_insert(authorities);
        }
        env
    }
}

impl Installed {
    /// What it is.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its folder, which does not change.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How the fleet starts it: the program itself, without a shell or a package manager between.
    #[must_use]
    pub fn spec(
        &self,
        server: ServerName,
        args: &[String],
        env: &BTreeMap<String, Secret<String>>,
    ) -> ServerSpec {
        let script = self.folder.join(&self.manifest.entry).display().to_string();
        let mut own = match self.manifest.runtime {
            Runtime::Node => Vec::new(),
            // Nothing from outside of the environment, and nothing written into it.
            Runtime::Python => vec!["-I".to_owned(), "-B".to_owned()],
        };
        own.push(script);
        own.extend(args.iter().cloned());
        let stdio = StdioSpec {
            command: self.program.display().to_string(),
            args: own,
            env: env.clone(),
            cwd: Some(self.folder.clone()),
        };
        ServerSpec { name: server, transport: TransportSpec::Stdio(stdio), stateless: false, timeout: None }
    }
}

/// Work that waits for the disk, on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("release.install", "the work was ended").with_source(error))?
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable("release.install", format!("{}: {error}", path.display()))
}
