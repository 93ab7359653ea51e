//! The audit log of a running platform: denials are grouped, chains are sealed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mcp_core::{
    Result,
    audit::{self, AuditKey, AuditStore, GroupedDenials, Sealer, SealerConfig, VerifyReport},
    clock::SystemClock,
    lease::Leases,
};

use crate::config::Config;

/// Where the signing key and the checkpoints outside of the database are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    key: PathBuf,
    checkpoints: PathBuf,
}

impl Files {
    pub(super) fn of(config: &Config) -> Self {
        let or = |configured: &Path, name: &str| match configured.as_os_str().is_empty() {
            true => config.data.dir.join(name),
            false => configured.to_owned(),
        };
        Self {
            key: or(&config.audit.key_file, "audit.key"),
            checkpoints: or(&config.audit.checkpoints_file, "audit-checkpoints.jsonl"),
        }
    }

    /// Recomputes every chain and compares it with the checkpoints.
    pub(super) async fn verify(&self, store: &dyn AuditStore) -> Result<VerifyReport> {
        let key = AuditKey::load_or_create(&self.key)?;
        audit::verify(store, &self.checkpoints, &[key.public()]).await
    }
}

/// What writes and seals in the background.
#[derive(Debug)]
pub(super) struct Auditing {
    denials: Arc<GroupedDenials>,
    sealer: Sealer,
}

impl Auditing {
    pub(super) fn start(files: &Files, store: Arc<dyn AuditStore>, leases: Arc<dyn Leases>) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let key = AuditKey::load_or_create(&files.key)?;
        let denials = GroupedDenials::start(Arc::clone(&store), clock.clone(), Default::default())?;
        let config = SealerConfig::new(&files.checkpoints);
        let sealer = Sealer::start(store, leases, key, clock, config)?;
        Ok(Self { denials: Arc::new(denials), sealer })
    }

    pub(super) fn denials(&self) -> Arc<GroupedDenials> {
        Arc::clone(&self.denials)
    }

    /// Seals what is there now, so that a verification covers it.
    pub(super) async fn seal_now(&self) -> Result<()> {
        self.sealer.seal_now().await.map(drop)
    }

    /// Writes the last denials, then seals them.
    pub(super) async fn shutdown(&self) {
        self.denials.shutdown().await;
        self.sealer.shutdown().await;
    }
}
