//! `cargo xtask bench`: builds for shipping, gets what figures are compared with, then measures.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::services::Services;
use crate::sh::{self, Context, Failure, Result};
use crate::{bindings, model, tools};

/// What is measured is built as it is shipped.
const PROFILE: &str = "dist";

/// Runs one bench, or all of them; standard output is the bench's alone, so that programs can read it.
///
/// # Errors
/// When it does not build, a reference cannot be had, or the bench ends in failure.
pub(crate) fn run(name: Option<&str>, json: bool) -> Result {
    let own = rustix::io::dup(rustix::stdio::stdout()).context("keeping standard output")?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr()).context("leaving standard output to the bench")?;
    let programs = build()?;
    let mut bench = Command::new(programs.join("mcp-benches"));
    bench.args(name).args(json.then_some("--json")).stdin(Stdio::null()).stdout(own);
    let wanted = |bench| name.is_none_or(|name| name == bench);
    if wanted("gateway") || wanted("tenancy") {
        bench.arg("--platform").arg(programs.join("mcp-platform"));
    }
    if wanted("inference") {
        bench.arg("--models").arg(model::prepare()?).arg("--onnxruntime").arg(tools::onnxruntime()?);
    }
    if wanted("bindings") {
        let tools = tools::prepare()?;
        bench.arg("--python").arg(bindings::install_python(&tools, PROFILE)?);
        bench.arg("--node").arg(bindings::install_node(&tools, PROFILE)?);
    }
    let services = (wanted("context") || wanted("tenancy")).then(Services::start).transpose()?;
    if let Some(services) = &services {
        bench.envs(services.environment());
    }
    let status = bench.status().context("starting the bench")?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("the bench failed ({status})"))) }
}

/// Builds at once what is measured and what measures, so that they share their dependencies' features.
fn build() -> Result<PathBuf> {
    let packages = ["--package", "mcp-benches", "--package", "mcp-platform"];
    sh::run(sh::cargo().args(["build", "--quiet", "--locked", "--profile", PROFILE]).args(packages))?;
    Ok(sh::metadata()?.target_directory.join(PROFILE))
}
