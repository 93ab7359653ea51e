//! The programs under test.

use std::path::PathBuf;

use crate::sh::{self, Result};

const FIXTURE: &str = "mcp-fixture";
const PLATFORM: &str = "mcp-platform";

/// Where the programs under test are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(super) fixture: PathBuf,
    pub(crate) platform: PathBuf,
}

impl Programs {
    /// Builds them as one would by hand.
    ///
    /// # Errors
    /// When they do not build.
    pub(crate) fn build() -> Result<Self> {
        Self::with(&["--package", FIXTURE, "--package", PLATFORM])
    }

    /// Builds them of what `cargo test` has built for the whole workspace. The libraries' features depend on
    /// what is built together, so that any other choice would compile them once more.
    ///
    /// # Errors
    /// When they do not build.
    pub(crate) fn build_beside_tests() -> Result<Self> {
        Self::with(&["--workspace", "--all-features", "--tests", "--bin", FIXTURE, "--bin", PLATFORM])
    }

    fn with(what: &[&str]) -> Result<Self> {
        sh::output(sh::cargo().args(["build", "--quiet", "--locked"]).args(what))?;
        let built = sh::metadata()?.target_directory.join("debug");
        Ok(Self { fixture: built.join(FIXTURE), platform: built.join(PLATFORM) })
    }
}
