//! Settings of tenants: how they end, and where their data lives.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::print::without_password;

/// The life of tenants, and the regions that are served.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenants {
    pub grace_days: u32,
    pub erase_interval_seconds: u64,
    pub settle_seconds: u64,
    pub regions: Vec<String>,
    pub region_directories: BTreeMap<String, PathBuf>,
    pub region_databases: BTreeMap<String, RegionDatabase>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self {
            grace_days: 30,
            erase_interval_seconds: 30,
            settle_seconds: 90,
            regions: vec!["local".to_owned()],
            region_directories: BTreeMap::new(),
            region_databases: BTreeMap::new(),
        }
    }
}

/// Where the data of one region lives. `Debug` shows no password.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionDatabase {
    pub url: String,
    pub owner_url: String,
    pub relay_url: String,
}

impl fmt::Debug for RegionDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = [&self.url, &self.owner_url, &self.relay_url].map(|url| without_password(url));
        f.debug_struct("RegionDatabase").field("urls", &urls).finish()
    }
}
