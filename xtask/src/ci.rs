//! `cargo xtask ci`: what `test` runs, and what needs more than a registry.

use crate::sh::Result;
use crate::steps::Steps;
use crate::{deny, test};

/// Runs every step of `test`, then the advisories unless they are left out by name.
///
/// # Errors
/// The first failing step's.
pub(crate) fn run(without_advisories: bool) -> Result {
    let mut steps = Steps::default();
    test::all(&mut steps)?;
    if !without_advisories {
        steps.run("advisories", deny::advisories)?;
    }
    steps.report();
    if without_advisories {
        println!("\nEvery step passed; known vulnerabilities were not looked up (--without-advisories).");
    } else {
        println!("\nEvery step passed.");
    }
    Ok(())
}
