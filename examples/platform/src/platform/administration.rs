//! What works above tenants: stores, tenancy and audit, without listeners or servers.

use std::{path::PathBuf, sync::Arc};

use mcp_core::{
    PlatformScope, Result,
    audit::{DenialLog, LoggedDenials},
    clock::SystemClock,
    key::MasterKey,
};
use mcp_tenancy::{Tenancy, TenancyDeps, tenant::DirectoryConfig, token::TokenConfig};

use super::database::Database;
use crate::config::Config;

/// The stores of a platform and the operations of its operator. `mcp-platform tenant …` needs no more.
#[derive(Debug)]
pub struct Administration {
    database: Database,
    tenancy: Tenancy,
}

impl Administration {
    /// Opens the database that `config` names; an embedded one is made where there is none.
    ///
    /// # Errors
    /// `InvalidInput` for settings that do not go together, `Unavailable` if the database is away or not
    /// migrated.
    pub async fn open(config: &Config) -> Result<Self> {
        let database = Database::open(config).await?;
        let tenancy = Tenancy::open(TenancyDeps {
            tenants: database.tenants(),
            keys: database.keys(),
            signing_keys: database.signing_keys(),
            master: MasterKey::load_or_create(&master_key_file(config))?,
            clock: Arc::new(SystemClock),
            tokens: tokens(config),
            directory: DirectoryConfig::default(),
        })
        .await?;
        Ok(Self { database, tenancy })
    }

    /// Brings the database's tables up to this version; returns how many migrations were applied.
    ///
    /// # Errors
    /// `Unavailable` if the database is away, `Corrupted` if an applied migration was changed since.
    pub async fn migrate(config: &Config, scope: &PlatformScope) -> Result<u64> {
        let database = Database::open(config).await?;
        let applied = database.migrate(scope).await;
        database.close().await;
        applied
    }

    /// Tenants, keys and tokens.
    #[must_use]
    pub const fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// Where denials go.
    #[must_use]
    pub fn denials(&self) -> Arc<dyn DenialLog> {
        Arc::new(LoggedDenials)
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

fn master_key_file(config: &Config) -> PathBuf {
    match config.auth.master_key_file.as_os_str().is_empty() {
        true => config.data.dir.join("master.key"),
        false => config.auth.master_key_file.clone(),
    }
}

/// Issuer and audience: the URL clients use, so that commands and servers of one configuration agree.
fn tokens(config: &Config) -> TokenConfig {
    let server = &config.server;
    let scheme = if server.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
    let url = match server.public_url.trim_end_matches('/') {
        "" => format!("{scheme}://{}", server.listen),
        url => url.to_owned(),
    };
    TokenConfig::new(url.clone(), format!("{url}/mcp"))
}
