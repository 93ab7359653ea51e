//! The real MCP servers and clients that tests talk to, pinned and installed from npm and PyPI.
//!
//! Tests find them in the folder named by `MCP_TEST_TOOLS`, each in a folder of its own, because their
//! dependencies disagree: those from npm (`inspector` and `oidc` with the Node 22 that they need) have
//! `node_modules`, those from PyPI are virtual environments.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh::{self, Context, Failure, Result};
use crate::venv;

/// What tests read.
pub(crate) const VARIABLE: &str = "MCP_TEST_TOOLS";

/// The folder with what builds and tests the Python package.
pub(crate) const PYTHON_BINDING: &str = "python-binding";
/// The folder with what tests the Node module.
pub(crate) const NODE_BINDING: &str = "node-binding";

/// Folders with packages from npm.
const NPM: &[(&str, &[&str])] = &[
    ("everything", &["@modelcontextprotocol/server-everything@2026.8.31"]),
    ("inspector", &["@modelcontextprotocol/inspector@2.12.0", "node@22.23.3"]),
    (
        NODE_BINDING,
        &[
            "@napi-rs/cli@3.10.12",
            "typescript@7.0.2",
            "@types/node@26.6.6",
            "@modelcontextprotocol/server-everything@2026.8.31",
        ],
    ),
    // A real identity provider, with the Node that it supports.
    ("oidc", &["oidc-provider@9.13.3", "node@22.23.3"]),
    // What draws the diagrams of the documentation; jsdom is the browser it expects, in its last major for Node 20.
    ("mermaid", &["mermaid@12.3.0", "jsdom@26.1.0"]),
];

/// Virtual environments with packages from PyPI.
const PYTHON: &[(&str, &[&str])] = &[
    ("client", &["mcp==2.3.0"]),
    ("time", &["mcp-server-time==2026.10.19"]),
    // What holds the REST API to its OpenAPI document.
    ("schemathesis", &["schemathesis==4.32.5"]),
    ("openai", &["openai==3.54.0"]),
    (
        PYTHON_BINDING,
        &[
            "maturin==1.16.0",
            "mypy==2.4.1",
            "pytest==9.2.0",
            "pytest-asyncio==1.5.0",
            "mcp-server-time==2026.10.19",
        ],
    ),
];

/// What the bench of models compares with; tests have no use for it.
const ONNX_RUNTIME: &[&str] = &["onnxruntime==1.32.0", "numpy==2.4.6"];

/// A Python that has ONNX Runtime.
///
/// # Errors
/// When Python is missing, or a package cannot be installed.
pub(crate) fn onnxruntime() -> Result<PathBuf> {
    let (folder, name) = (folder()?, "onnxruntime");
    once(&folder, name, &ONNX_RUNTIME.join(" "), || install_python(&folder, name, ONNX_RUNTIME))?;
    Ok(folder.join(name).join("bin/python"))
}

/// Makes the folder complete and returns it: what the environment names, else one under the target directory.
///
/// # Errors
/// When Node, npm or Python is missing, or a package cannot be installed.
pub(crate) fn prepare() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        println!("{VARIABLE}: as the environment says");
        return Ok(named.into());
    }
    let folder = folder()?;
    for (name, packages) in NPM {
        once(&folder, name, &packages.join(" "), || install_npm(&folder.join(name), packages))?;
    }
    for (name, packages) in PYTHON {
        once(&folder, name, &packages.join(" "), || install_python(&folder, name, packages))?;
    }
    println!("{VARIABLE}: {}", folder.display());
    Ok(folder)
}

fn folder() -> Result<PathBuf> {
    let folder = sh::metadata()?.target_directory.join("tools/mcp");
    std::fs::create_dir_all(&folder).context(format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Runs `install` unless it has succeeded with the same `wanted` before.
fn once(folder: &Path, name: &str, wanted: &str, install: impl FnOnce() -> Result) -> Result {
    let mark = folder.join(format!("{name}.installed"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install()?;
    std::fs::write(&mark, wanted).context(format!("writing {}", mark.display()))
}

fn install_npm(folder: &Path, packages: &[&str]) -> Result {
    let npm = required("npm", "Node 20 or later with npm (Debian: nodejs, npm)")?;
    std::fs::create_dir_all(folder).context(format!("making {}", folder.display()))?;
    // Without a package.json of its own, npm would install into a parent folder that has one.
    let manifest = folder.join("package.json");
    std::fs::write(&manifest, "{\"private\": true}\n").context(format!("writing {}", manifest.display()))?;
    let mut install = Command::new(npm);
    install.current_dir(folder).args(["install", "--no-audit", "--no-fund", "--save-exact"]);
    sh::run(install.args(packages))
}

fn install_python(folder: &Path, name: &str, packages: &[&str]) -> Result {
    sh::run(venv::pip(&folder.join(name))?.arg("install").args(packages))
}

fn required(program: &str, what: &str) -> Result<PathBuf> {
    sh::find(program, &[]).ok_or_else(|| Failure::new(format!("the tests need `{program}`: install {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_install_is_not_repeated_until_its_versions_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = 0;
        for wanted in ["1", "1", "2"] {
            once(folder.path(), "x", wanted, || {
                runs += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(runs, 2);
    }

    #[test]
    fn a_failed_install_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(once(folder.path(), "x", "1", || Err(Failure::new("no network"))).is_err());
        let mut ran = false;
        once(folder.path(), "x", "1", || {
            ran = true;
            Ok(())
        })
        .unwrap();
        assert!(ran);
    }
}
