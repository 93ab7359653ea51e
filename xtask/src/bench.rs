//! `cargo xtask bench`: builds for shipping, then measures.

use std::process::Stdio;

use crate::sh::{self, Context, Failure, Result};

/// Runs one bench, or all of them; standard output is the bench's alone, so that programs can read it.
///
/// # Errors
/// When it does not build or ends in failure.
pub(crate) fn run(name: Option<&str>, json: bool) -> Result {
    let mut cargo = sh::cargo();
    cargo.args(["run", "--quiet", "--locked", "--profile", "dist", "--package", "mcp-benches", "--"]);
    cargo.args(name).args(json.then_some("--json"));
    let status = cargo.stdin(Stdio::null()).status().context("starting cargo")?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("the bench failed ({status})"))) }
}
