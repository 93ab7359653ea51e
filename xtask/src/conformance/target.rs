//! The servers under test, started for one run and ended with it.

use std::path::PathBuf;
use std::process::Command;

use super::process::Process;
use crate::sh::{self, Result};

/// A running server, ended when dropped.
pub(super) struct Target {
    pub(super) url: String,
    _process: Process,
}

/// The fixture, speaking `protocol`, with nothing in front of it.
///
/// # Errors
/// When it does not build or start.
pub(super) fn fixture(protocol: &str) -> Result<Target> {
    let mut command = Command::new(build("mcp-fixture")?);
    // The suite asks for errors on purpose, and the fixture would log each.
    command.args(["--http", "127.0.0.1:0", "--protocol", protocol]).env("RUST_LOG", "off");
    let (process, url) = Process::start(&mut command, "http://")?;
    Ok(Target { url, _process: process })
}

/// Builds a program of ours and says where it is.
fn build(package: &str) -> Result<PathBuf> {
    sh::output(sh::cargo().args(["build", "--quiet", "--locked", "--package", package]))?;
    Ok(sh::metadata()?.target_directory.join("debug").join(package))
}
