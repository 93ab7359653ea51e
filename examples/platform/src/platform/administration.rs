//! What works above tenants: stores, tenancy and audit, without listeners or servers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mcp_automation::release::ReleaseStore;
use mcp_core::{
    Error, PlatformScope, Result,
    audit::{AuditStore, DenialLog, VerifyReport},
    embed::Embedder,
    key::MasterKey,
    lease::Leases,
    redact::Redactor,
};
use mcp_tenancy::Tenancy;
use tokio::fs::DirBuilder;

use super::{
    auditing::{self, Auditing},
    database::Database,
    forwarding::Forwarding,
    identity,
    policies::Policies,
    remembering::Remembering,
    vault::{self, TokenFile},
};
use crate::config::{self, Config};

/// The stores of a platform and the operations of its operator. `mcp-platform tenant …` needs no more.
#[derive(Debug)]
pub struct Administration {
    database: Database,
    tenancy: Arc<Tenancy>,
    audit: Arc<dyn AuditStore>,
    releases: Arc<dyn ReleaseStore>,
    audit_files: auditing::Files,
    vault_token: Option<TokenFile>,
}

impl Administration {
    /// Opens the database that `config` names; an embedded one is made where there is none.
    ///
    /// # Errors
    /// `InvalidInput` for settings that do not go together, `Unavailable` if the database is away or not
    /// migrated.
    pub async fn open(config: &Config) -> Result<Self> {
        // Keys and checkpoints live here whatever the database is; nobody else may look into it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data.dir).await;
        made.map_err(|error| {
            let directory = config.data.dir.display();
            Error::unavailable("data.dir", format!("cannot make the directory {directory}: {error}"))
        })?;
        warn_of_others(&config.data.dir).await;
        let database = Database::open(config).await?;
        let master = MasterKey::load_or_create(&master_key_file(config))?;
        let releases = database.releases(master.clone());
        let vault::Opened { data_keys, token } =
            vault::open(&config.vault, database.data_keys(), master.clone()).await?;
        let mut deps = database.tenancy(identity::tokens(config), master);
        deps.data_keys = data_keys;
        deps.max_keys = config.auth.keys_per_tenant;
        let tenancy = Arc::new(Tenancy::open(deps).await?);
        let audit = database.audit();
        let audit_files = auditing::Files::of(config);
        Ok(Self { database, tenancy, audit, releases, audit_files, vault_token: token })
    }

    /// Makes the database's tables or brings them up to this version; returns how many tenants there are.
    ///
    /// # Errors
    /// `InvalidInput` without the owner's URL, `Unavailable` if the database is away, `Corrupted` if an
    /// applied migration was changed since.
    pub async fn migrate(config: &Config, scope: &PlatformScope) -> Result<u64> {
        Database::migrate(config, scope).await
    }

    /// Tenants, keys and tokens.
    #[must_use]
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// The same, for parts that outlive a borrow of it.
    pub(super) fn shared_tenancy(&self) -> Arc<Tenancy> {
        Arc::clone(&self.tenancy)
    }

    /// The audit log's store.
    #[must_use]
    pub fn audit(&self) -> Arc<dyn AuditStore> {
        Arc::clone(&self.audit)
    }

    /// The store of added servers.
    pub(super) fn releases(&self) -> Arc<dyn ReleaseStore> {
        Arc::clone(&self.releases)
    }

    /// Recomputes every audit chain and compares it with the checkpoints outside of the database.
    ///
    /// # Errors
    /// `Unavailable` if the database is away, `InvalidInput` for a key file that is none. A damaged chain is
    /// no error but a problem in the report.
    pub async fn verify_audit(&self) -> Result<VerifyReport> {
        self.audit_files.verify(&*self.audit).await
    }

    /// The leases that make one replica of many do what only one may.
    pub(super) fn leases(&self) -> Arc<dyn Leases> {
        self.database.leases()
    }

    /// Starts writing denials and sealing chains.
    pub(super) fn start_auditing(&self) -> Result<Auditing> {
        Auditing::start(&self.audit_files, self.audit(), self.database.leases())
    }

    /// Starts delivering the audit log elsewhere, where that is configured.
    pub(super) async fn start_forwarding(&self, config: &Config) -> Result<Option<Forwarding>> {
        Forwarding::start(config, self.audit(), self.database.leases()).await
    }

    /// Roles and policies; denials go to `denials`.
    pub(super) async fn open_policies(
        &self,
        settings: &config::Policy,
        denials: Arc<dyn DenialLog>,
    ) -> Result<Policies> {
        Policies::open(self.database.authorization(denials)?, settings).await
    }

    /// The file that the vault's token is renewed in, where there is one.
    pub(super) fn vault_token(&self) -> Option<TokenFile> {
        self.vault_token.clone()
    }

    /// Opens contexts, memories and events, and starts publishing the latter.
    pub(super) fn start_remembering(
        &self,
        config: &Config,
        embedder: Option<Arc<dyn Embedder>>,
        redactor: Option<Arc<dyn Redactor>>,
    ) -> Result<Remembering> {
        Remembering::start(&self.database, config, embedder, redactor)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable` with what it says.
    pub async fn ping(&self, scope: &PlatformScope) -> Result<()> {
        self.database.ping(scope).await
    }

    /// Ends what runs in the background and closes the database.
    pub async fn close(&self) {
        self.tenancy.shutdown().await;
        self.database.close().await;
    }
}

/// A directory that was there already keeps its mode, which may be on purpose; key files have their own, but the
/// files of an embedded database are as open as the directory is.
#[cfg(unix)]
async fn warn_of_others(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // One that cannot be looked at fails where it is used.
    let Ok(found) = tokio::fs::metadata(directory).await else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let directory = directory.display();
        tracing::warn!(
            mode = format!("{mode:o}"),
            "others on this machine can look into the data directory {directory}; run `chmod 700 {directory}`"
        );
    }
}

#[cfg(not(unix))]
async fn warn_of_others(_: &Path) {}

fn master_key_file(config: &Config) -> PathBuf {
    match config.auth.master_key_file.as_os_str().is_empty() {
        true => config.data.dir.join("master.key"),
        false => config.auth.master_key_file.clone(),
    }
}
