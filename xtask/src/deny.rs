//! cargo-deny: licences, banned and duplicate crates, sources, known vulnerabilities.

use std::path::PathBuf;
use std::process::Command;

use crate::sh::{self, Failure, Result};

/// The version that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Licences, bans and sources, which need nothing from outside.
///
/// # Errors
/// When a rule of `deny.toml` is broken, or cargo-deny cannot be installed.
pub(crate) fn offline() -> Result {
    check(&["licenses", "bans", "sources"])
}

/// Known vulnerabilities, which need RustSec's database from GitHub.
///
/// # Errors
/// When there is one that `deny.toml` does not name with a reason, or the database cannot be reached.
pub(crate) fn advisories() -> Result {
    check(&["advisories"]).map_err(|failure| {
        Failure::new(format!(
            "{failure}; where RustSec's database cannot be reached, leave it out with --without-advisories"
        ))
    })
}

fn check(what: &[&str]) -> Result {
    let program = installed()?;
    let mut deny = Command::new(program);
    deny.current_dir(sh::root()).args(["--workspace", "--all-features", "--locked"]);
    if !what.contains(&"advisories") {
        deny.arg("--offline");
    }
    sh::run(deny.arg("check").args(what))
}

/// cargo-deny of our version: the one in `PATH`, else one built under the target directory.
fn installed() -> Result<PathBuf> {
    if let Some(found) = sh::find("cargo-deny", &[])
        && sh::output(Command::new(&found).arg("--version")).is_ok_and(|said| said.ends_with(VERSION))
    {
        return Ok(found);
    }
    let tools = target_directory()?.join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        // Unoptimised: it runs for seconds, and building it optimised takes minutes more.
        let mut install = sh::cargo();
        install.args([
            "install",
            "--quiet",
            "--locked",
            "--debug",
            "--no-track",
            "cargo-deny",
            "--version",
            VERSION,
        ]);
        sh::run(install.arg("--root").arg(&tools))?;
    }
    Ok(program)
}

/// The workspace's target directory, as cargo sees it.
fn target_directory() -> Result<PathBuf> {
    Ok(sh::metadata()?.target_directory)
}
