//! Where servers come from: package registries, asked for exact versions and the hashes of their artifacts.
//!
//! A [`PackageRef`] is what an operator writes, `npm:@scope/name@1.2.3` or `pypi:name==1.2.3`. A [`Source`]
//! makes it a [`Resolved`] artifact, which is downloaded and compared with the registry's hash.

mod artifact;
mod client;
mod npm;
mod progress;
mod pypi;
mod reference;
mod version;

use std::{fmt, path::Path};

use async_trait::async_trait;
use mcp_core::Result;

pub(crate) use artifact::hasher;
pub use artifact::{Hash, HashAlgorithm, Resolved};
pub use client::{ClientLimits, RegistryClient};
pub use npm::NpmSource;
pub use progress::{Phase, Progress, Reporter};
pub use pypi::PypiSource;
pub use reference::{Package, PackageRef, Registry};
pub use version::Version;

/// A package registry.
///
/// Promises, each with its test:
/// 1. `resolve` gives an exact version and a cryptographic hash; an artifact without one is refused.
/// 2. An unknown version is refused with the nearest known ones; an unknown package is told from a registry
///    that is away.
/// 3. `download` leaves a file only if it has the hash and, where it is known, the size that were promised.
/// 4. Answers, waiting and retries are bounded.
#[async_trait]
pub trait Source: Send + Sync + fmt::Debug {
    /// The package's versions, oldest first.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) for an unknown package, [`Upstream`](mcp_core::ErrorKind::Upstream)
    /// when the registry is away or answers nonsense, [`TooLarge`](mcp_core::ErrorKind::TooLarge).
    async fn versions(&self, package: &Package) -> Result<Vec<Version>>;

    /// The artifact of `version`, or of the latest release where it is `None`.
    ///
    /// # Errors
    /// As [`versions`](Self::versions); `NotFound` with the nearest versions for an unknown one;
    /// [`Unsupported`](mcp_core::ErrorKind::Unsupported) for a version that cannot be installed from here.
    async fn resolve(&self, package: &Package, version: Option<&Version>) -> Result<Resolved>;

    /// Downloads the artifact to the new file `to`.
    ///
    /// # Errors
    /// `Upstream` when it cannot be had whole or differs from its hash, `TooLarge`, `Unavailable` when the
    /// file cannot be written. No file is left then.
    ///
    /// # Cancellation
    /// A file that is not whole may be left at `to`: its folder is the caller's to clear.
    async fn download(&self, artifact: &Resolved, to: &Path, report: &Reporter) -> Result<()>;
}
