//! How far a forwarder has come.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::{
    audit::Chain,
    error::{Error, ErrorKind, Result},
    key::file::sync_directory_of,
};

/// Where a forwarder keeps how far it has come in each chain.
///
/// Promises: what [`save`](Self::save) has returned for is what [`load`](Self::load) gives from then on, also
/// after a crash where it is meant to outlive the process.
#[async_trait]
pub trait Positions: Send + Sync + std::fmt::Debug {
    /// The last link of `chain` that has arrived; 0 if none has.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable), and [`Corrupted`](crate::ErrorKind::Corrupted) if what
    /// is kept is no position.
    async fn load(&self, chain: &Chain) -> Result<i64>;

    /// Keeps that everything up to link `seq` of `chain` has arrived.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    async fn save(&self, chain: &Chain, seq: i64) -> Result<()>;
}

/// Positions that the process alone knows: after a restart everything is delivered again.
#[derive(Debug, Default)]
pub struct MemoryPositions(Mutex<HashMap<Chain, i64>>);

#[async_trait]
impl Positions for MemoryPositions {
    async fn load(&self, chain: &Chain) -> Result<i64> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(chain).copied().unwrap_or(0))
    }

    async fn save(&self, chain: &Chain, seq: i64) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(chain.clone(), seq);
        Ok(())
    }
}

/// Positions in a directory of their own, a small file a chain, replaced in one step.
///
/// Replicas that are to take over from each other share the directory; where they do not, what another had
/// delivered is delivered again.
#[derive(Debug)]
pub struct FilePositions {
    directory: PathBuf,
}

impl FilePositions {
    /// Positions in `directory`, which is made if it is not there. Blocks on the disk for moments.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it cannot be made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory).map_err(|error| unavailable(&directory, error))?;
        Ok(Self { directory })
    }

    fn file(&self, chain: &Chain) -> PathBuf {
        self.directory.join(format!("{chain}.position"))
    }
}

#[async_trait]
impl Positions for FilePositions {
    async fn load(&self, chain: &Chain) -> Result<i64> {
        let path = self.file(chain);
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(unavailable(&path, error)),
        };
        text.trim().parse().map_err(|_| {
            let message = format!(
                "{} holds no position of the audit log; remove it to deliver this chain from the start",
                path.display()
            );
            Error::new(ErrorKind::Corrupted, "audit.forward", message)
        })
    }

    async fn save(&self, chain: &Chain, seq: i64) -> Result<()> {
        let path = self.file(chain);
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&target, seq)).await;
        written.map_err(io::Error::other).flatten().map_err(|error| unavailable(&path, error))
    }
}

fn replace(path: &Path, seq: i64) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = std::fs::File::create(&draft)?;
    writeln!(file, "{seq}")?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_directory_of(path)
}

fn unavailable(path: &Path, error: io::Error) -> Error {
    let message = format!("the audit positions in {} cannot be read or written", path.display());
    Error::unavailable("audit.forward", message).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::TenantId;

    #[tokio::test]
    async fn positions_outlive_the_process_and_chains_are_apart() {
        let directory = tempfile::tempdir().unwrap();
        let acme = Chain::Tenant(TenantId::parse("acme").unwrap());
        let positions = FilePositions::open(directory.path().join("to/siem")).unwrap();
        assert_eq!(positions.load(&acme).await.unwrap(), 0);
        positions.save(&acme, 7).await.unwrap();
        positions.save(&acme, 9).await.unwrap();
        let again = FilePositions::open(directory.path().join("to/siem")).unwrap();
        assert_eq!((again.load(&acme).await.unwrap(), again.load(&Chain::Platform).await.unwrap()), (9, 0));
        std::fs::write(directory.path().join("to/siem/acme.position"), "x").unwrap();
        let error = again.load(&acme).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupted && error.message().contains("acme.position"), "{error}");
    }
}
