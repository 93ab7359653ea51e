//! What stands in the folder of a release: what it is, where it came from, how it is started.

use mcp_core::{Error, ErrorKind, Result, clock::Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::source::{Hash, Package, Version};

/// The file's name in a release's folder.
pub(super) const FILE: &str = "release.json";
/// Names the layout of the file and the folder.
const FORMAT: u32 = 1;

/// What runs a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Node, on the script at [`Manifest::entry`].
    Node,
    /// The Python of the folder's own virtual environment, on the script at [`Manifest::entry`].
    Python,
}

/// One installed release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The package.
    pub package: Package,
    /// Its version.
    pub version: Version,
    /// Where the artifact came from.
    pub url: Url,
    /// The artifact's hash, as the registry gave it and the download had it.
    pub artifact: Hash,
    /// The digest of all that was installed.
    pub tree: Hash,
    /// When.
    pub installed_at: Timestamp,
    /// By what: the version of the package manager.
    pub installed_by: String,
    /// What runs it.
    pub runtime: Runtime,
    /// The script that is run, below the folder.
    pub entry: String,
}

/// What an installation found out.
pub(super) struct Entry {
    pub(super) runtime: Runtime,
    pub(super) entry: String,
    pub(super) installed_by: String,
}

impl Manifest {
    pub(super) fn new(artifact: &crate::source::Resolved, entry: Entry, tree: Hash, now: Timestamp) -> Self {
        let Entry { runtime, entry, installed_by } = entry;
        Self {
            format: FORMAT,
            package: artifact.package.clone(),
            version: artifact.version.clone(),
            url: artifact.url.clone(),
            artifact: artifact.hash.clone(),
            tree,
            installed_at: now,
            installed_by,
            runtime,
            entry,
        }
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let damaged = |why: String| Error::new(ErrorKind::Corrupted, "release.manifest", why);
        let manifest: Self = serde_json::from_slice(text)
            .map_err(|error| damaged(format!("the release's `{FILE}` is damaged: {error}")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!(
                "the release's `{FILE}` has the unknown format {}",
                manifest.format
            )));
        }
        crate::archive::check_path(&manifest.entry)?;
        Ok(manifest)
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("release.manifest", "it cannot be written").with_source(error))
    }
}
