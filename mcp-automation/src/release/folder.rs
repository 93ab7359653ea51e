//! Where releases lie: staging folders that come and go, and the folders of releases, which stay as they are.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
};

use mcp_core::{Error, Result};

use super::{
    manifest::{FILE, Manifest},
    tree,
};
use crate::{
    protocol::ServerName,
    source::{Hash, Version},
};

/// Holds what is being installed. A name no server can have.
const STAGING: &str = ".staging";

/// `{version}-{first digits of the artifact's hash}` below the server's folder.
pub(super) fn release(root: &Path, server: &ServerName, version: &Version, artifact: &Hash) -> PathBuf {
    root.join(server.as_str()).join(format!("{version}-{}", artifact.short()))
}

/// A folder for one installation; removed with all that is in it when it is dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    lock: PathBuf,
    /// Locked as long as the process lives, which is how others know that it does.
    _alive: File,
}

impl Staging {
    /// Makes one. Blocks on the disk.
    pub(super) fn make(root: &Path) -> Result<Self> {
        let all = root.join(STAGING);
        fs::create_dir_all(&all).map_err(|error| unwritable(&all, &error))?;
        let path = all.join(uuid::Uuid::new_v4().simple().to_string());
        let lock = path.with_extension("lock");
        let alive = File::create_new(&lock).map_err(|error| unwritable(&lock, &error))?;
        alive.lock().map_err(|error| unwritable(&lock, &error))?;
        fs::create_dir(&path).map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path, lock, _alive: alive })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `tree`, a folder of this one, the release's folder, once and as a whole. Blocks on the disk.
    pub(super) fn publish(&self, tree: &Path, manifest: &Manifest, to: &Path) -> Result<()> {
        let written = || {
            let mut file = File::create_new(tree.join(FILE))?;
            file.write_all(&manifest.to_json().map_err(std::io::Error::other)?)?;
            file.sync_all()
        };
        written().map_err(|error| unwritable(tree, &error))?;
        // A folder that cannot be written cannot be moved either, so it itself comes last.
        tree::make_read_only(tree, false)?;
        let parent = to.parent().unwrap_or(to);
        fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error))?;
        fs::rename(tree, to).map_err(|error| unwritable(to, &error))?;
        tree::make_read_only(to, true)?;
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| unwritable(parent, &error))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        clear(&self.path, &self.lock);
    }
}

/// Removes what installations left whose process is gone. Blocks on the disk.
pub(super) fn sweep(root: &Path) -> usize {
    let Ok(entries) = fs::read_dir(root.join(STAGING)) else { return 0 };
    let mut swept = 0;
    for entry in entries.flatten() {
        let lock = entry.path();
        if lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(file) = File::open(&lock) else { continue };
        match file.try_lock() {
            Ok(()) => {
                clear(&lock.with_extension(""), &lock);
                swept += 1;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                tracing::warn!(lock = %lock.display(), %error, "a staging folder cannot be looked at");
            }
        }
    }
    swept
}

fn clear(folder: &Path, lock: &Path) {
    if let Err(error) = tree::remove(folder) {
        // Its lock stays, so that the next sweep finds it.
        tracing::warn!(error = error.report(), "a staging folder is left");
        return;
    }
    let _ = fs::remove_file(lock);
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable("release.folder", format!("{} cannot be written: {error}", path.display()))
}
