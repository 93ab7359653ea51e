//! Tools for cargo, of the version that we name: the one in `PATH`, else one built under the target directory.

use std::path::PathBuf;
use std::process::Command;

use crate::sh::{self, Result};

/// The program `name`, a crate on crates.io.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn installed(name: &str, version: &str) -> Result<PathBuf> {
    if let Some(found) = sh::find(name, &[])
        && sh::output(Command::new(&found).arg("--version")).is_ok_and(|said| said.ends_with(version))
    {
        return Ok(found);
    }
    let folder = sh::metadata()?.target_directory.join("tools").join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    if !program.is_file() {
        // Unoptimised: it runs for seconds, and building it optimised takes minutes more.
        let mut install = sh::cargo();
        install.args(["install", "--quiet", "--locked", "--debug", "--no-track", name, "--version", version]);
        sh::run(install.arg("--root").arg(&folder))?;
    }
    Ok(program)
}
