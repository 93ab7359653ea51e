//! The Python package and the Node module: installed as a user installs them, then tested from their language.
//!
//! Both are built into the shared target directory with the profile of the tests, so that what they are made of is
//! compiled once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::conformance::Programs;
use crate::sh::{self, Result};
use crate::{model, tools};

/// What the tests start as MCP server.
const BINARY: &str = "MCP_PLATFORM_BIN";

/// Both, with programs built for them alone.
///
/// # Errors
/// The first that fails.
pub(crate) fn run() -> Result {
    let (tools, models, programs) = (tools::prepare()?, model::prepare()?, Programs::build()?);
    python(&tools, &models, &programs)?;
    node(&tools, &models, &programs)
}

/// Installs the package by pip, built with `profile`; returns the Python that has it.
///
/// # Errors
/// When it does not build.
pub(crate) fn install_python(tools: &Path, profile: &str) -> Result<PathBuf> {
    let bin = tools.join(tools::PYTHON_BINDING).join("bin");
    let python = bin.join("python");
    let mut install = Command::new(&python);
    install.current_dir(source("python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    let target = sh::metadata()?.target_directory;
    // maturin is in the environment: what builds the package is pinned like what tests it.
    install.args(["--no-build-isolation", "--no-deps", "--force-reinstall", "."]).env("PATH", path(&bin));
    install.env("MATURIN_PEP517_ARGS", format!("--profile {profile}")).env("CARGO_TARGET_DIR", target);
    sh::run(&mut install)?;
    Ok(python)
}

/// Installs the package and runs its tests; compares its types with what is there.
///
/// # Errors
/// When it does not build, or a test fails.
pub(crate) fn python(tools: &Path, models: &Path, programs: &Programs) -> Result {
    let installed = install_python(tools, "dev")?;
    let python = |arguments: &[&str]| {
        let mut python = Command::new(&installed);
        python.current_dir(source("python")).args(arguments).env(BINARY, &programs.platform);
        python.env(model::VARIABLE, models);
        python
    };
    sh::run(&mut python(&["-m", "mypy", "python/mcp_platform", "tests"]))?;
    sh::run(&mut python(&["-m", "mypy.stubtest", "mcp_platform._native"]))?;
    sh::run(&mut python(&["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]))
}

/// Installs the module by npm, built with `profile`; returns the folder that has it.
///
/// # Errors
/// When it does not build.
pub(crate) fn install_node(tools: &Path, profile: &str) -> Result<PathBuf> {
    let folder = tools.join(tools::NODE_BINDING);
    let mut install = Command::new("npm");
    install
        .current_dir(&folder)
        .args(["install", "--no-audit", "--no-fund", "--no-save"])
        .arg(source("node"));
    let target = sh::metadata()?.target_directory;
    sh::run(install.env("MCP_PLATFORM_PROFILE", profile).env("CARGO_TARGET_DIR", target))?;
    Ok(folder)
}

/// Installs the module and runs its tests; compares its types with what the sources say.
///
/// # Errors
/// When it does not build, or a test fails.
pub(crate) fn node(tools: &Path, models: &Path, programs: &Programs) -> Result {
    let (source, folder) = (source("node"), install_node(tools, "dev")?);
    let (modules, target) = (folder.join("node_modules"), sh::metadata()?.target_directory);
    let node = |arguments: &[&str]| {
        let mut node = Command::new("node");
        node.current_dir(&source).args(arguments).env("CARGO_TARGET_DIR", &target);
        node.env(BINARY, &programs.platform).env(model::VARIABLE, models);
        node.env("MCP_NODE_TOOLS", &folder).env("MCP_NODE_MODULES", &modules);
        node
    };
    sh::run(&mut node(&["types.mjs", "--check"]))?;
    let mut types = Command::new(modules.join(".bin/tsc"));
    sh::run(types.current_dir(&source).args(["-p", "tests", "--typeRoots"]).arg(modules.join("@types")))?;
    sh::run(&mut node(&["--test", "tests/"]))
}

/// The sources of a binding.
fn source(language: &str) -> PathBuf {
    sh::root().join("bindings").join(language)
}

/// `PATH` with a folder before it.
fn path(first: &Path) -> std::ffi::OsString {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first.to_owned()).chain(std::env::split_paths(&rest));
    std::env::join_paths(all).unwrap_or(rest)
}
