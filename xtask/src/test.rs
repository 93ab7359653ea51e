//! `cargo xtask test`: the one command.

use std::path::Path;

use crate::conformance::{self, Programs};
use crate::services::Services;
use crate::sh::{self, Result};
use crate::steps::Steps;
use crate::{bindings, deny, diagrams, fuzz, lint, model, tools};

/// Ends a program of tests that hangs; the longest takes a quarter of it on a slow machine.
const GUARD: &str =
    "target.'cfg(unix)'.runner = ['timeout', '--foreground', '--verbose', '--signal=ABRT', '1500']";
/// Fuzzing for each target: what was found before is tried again, and a little that is new.
const FUZZ_SECONDS: u32 = 5;

/// Runs every step and prints their times.
///
/// # Errors
/// The first failing step's.
pub(crate) fn run() -> Result {
    let mut steps = Steps::default();
    all(&mut steps)?;
    steps.report();
    println!("\nEvery step passed.");
    Ok(())
}

/// The steps, cheapest first.
///
/// # Errors
/// The first failing step's.
pub(crate) fn all(steps: &mut Steps) -> Result {
    lint::all(steps)?;
    let services = steps.run("services", Services::start)?;
    let tools = steps.run("tools", tools::prepare)?;
    steps.run("diagrams", || diagrams::check(&tools))?;
    let models = steps.run("models", model::prepare)?;
    steps.run("tests", || tests(&services, &tools, &models))?;
    drop(services);
    steps.run("fuzz", || fuzz::run(None, FUZZ_SECONDS, false))?;
    let programs = steps.run("programs", Programs::build_beside_tests)?;
    steps.run("python", || bindings::python(&tools, &models, &programs))?;
    steps.run("node", || bindings::node(&tools, &models, &programs))?;
    steps.run("conformance", || conformance::run(&programs, false))?;
    steps.run("dependencies", deny::offline)
}

/// Unit, integration and doc tests of the whole workspace, with every backend switched on.
fn tests(services: &Services, tools: &Path, models: &Path) -> Result {
    let mut cargo = sh::cargo();
    cargo
        .args(["--config", GUARD, "test", "--locked", "--workspace", "--all-features", "--no-fail-fast"])
        .envs(services.environment())
        .env(tools::VARIABLE, tools)
        .env(model::VARIABLE, models);
    sh::run(&mut cargo)
}
