//! Settings of the SQLite kernel.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    error::{Error, Result},
    sql::IsolationMode,
};

/// Settings of the SQLite kernel. [`new`](Self::new) gives the defaults.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The directory of all databases; made, for its owner alone, if it does not exist.
    pub directory: PathBuf,
    /// For each region whose tenants' data lives elsewhere, the directory of their databases; the tables above
    /// tenants stay in [`directory`](Self::directory). Default: none.
    pub regions: BTreeMap<String, PathBuf>,
    /// The isolation modes tenants may have. Default: `database`. Also possible: `row`.
    pub modes: Vec<IsolationMode>,
    /// How long a begin waits for a connection, and a statement for another process. Default 5 s.
    pub wait: Duration,
    /// Readers per database; each costs a thread while it is open. Default 4.
    pub readers: u32,
    /// Tenants' files kept open while nobody uses them. Default 256. Files in use may exceed it.
    pub open_tenants: u64,
    /// How long an unused tenant's file stays open. Default 5 minutes.
    pub idle: Duration,
}

impl SqliteConfig {
    /// The defaults, with all databases under `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            regions: BTreeMap::new(),
            modes: vec![IsolationMode::Database],
            wait: Duration::from_secs(5),
            readers: 4,
            open_tenants: 256,
            idle: Duration::from_secs(300),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        for mode in &self.modes {
            mode.require("SQLite", &[IsolationMode::Database, IsolationMode::Row])?;
        }
        for (setting, zero) in [
            ("modes", self.modes.is_empty()),
            ("wait", self.wait.is_zero()),
            ("readers", self.readers == 0),
            ("open_tenants", self.open_tenants == 0),
            ("idle", self.idle.is_zero()),
        ] {
            if zero {
                return Err(Error::invalid_input(
                    "sql.open",
                    format!("`{setting}` must not be empty or zero"),
                ));
            }
        }
        Ok(())
    }
}
