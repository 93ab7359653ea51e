//! The database product, chosen by configuration; the rest of the platform sees traits.

use std::sync::Arc;

use mcp_core::{
    PlatformScope, Result,
    clock::SystemClock,
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use mcp_tenancy::{
    SQLITE_MIGRATIONS,
    key::{KeyStore, SqliteKeyStore},
    tenant::{Name, SqliteTenantStore, TenantStore, TierModes},
    token::{SigningKeyStore, SqliteSigningKeyStore},
};

use crate::config::{Config, Isolation};

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    kernel: SqliteKernel,
    modes: TierModes,
}

impl Database {
    pub(super) async fn open(config: &Config) -> Result<Self> {
        let modes = tier_modes(config, IsolationMode::Database)?;
        let mut settings = SqliteConfig::new(&config.data.dir);
        settings.modes = modes.modes();
        let kernel = SqliteKernel::open(settings, &[SQLITE_MIGRATIONS], Arc::new(SystemClock)).await?;
        Ok(Self { kernel, modes })
    }

    pub(super) fn tenants(&self) -> Arc<dyn TenantStore> {
        Arc::new(SqliteTenantStore::new(self.kernel.clone(), self.modes.clone()))
    }

    pub(super) fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::new(SqliteKeyStore::new(self.kernel.clone()))
    }

    pub(super) fn signing_keys(&self) -> Arc<dyn SigningKeyStore> {
        Arc::new(SqliteSigningKeyStore::new(self.kernel.clone()))
    }

    pub(super) async fn migrate(&self, scope: &PlatformScope) -> Result<u64> {
        self.kernel.migrate(scope).await
    }

    pub(super) async fn ping(&self, scope: &PlatformScope) -> Result<()> {
        self.kernel.control_read(scope).await.map(drop)
    }

    pub(super) async fn close(&self) {
        self.kernel.close().await;
    }
}

/// The isolation mode of each tier, as configured; `auto` is what suits the backend.
fn tier_modes(config: &Config, auto: IsolationMode) -> Result<TierModes> {
    let otherwise = match config.database.isolation {
        Isolation::Auto => auto,
        Isolation::Row => IsolationMode::Row,
        Isolation::Schema => IsolationMode::Schema,
        Isolation::Database => IsolationMode::Database,
    };
    config
        .database
        .tier_isolation
        .iter()
        .try_fold(TierModes::all(otherwise), |modes, (tier, mode)| Ok(modes.with(Name::parse(tier)?, *mode)))
}
