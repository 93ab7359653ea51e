//! cargo-deny: licences, banned and duplicate crates, sources, known vulnerabilities.

use std::process::Command;

use crate::cargo_tool;
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
    let program = cargo_tool::installed("cargo-deny", VERSION)?;
    let mut deny = Command::new(program);
    deny.current_dir(sh::root()).args(["--workspace", "--all-features", "--locked"]);
    if !what.contains(&"advisories") {
        deny.arg("--offline");
    }
    sh::run(deny.arg("check").args(what))
}
