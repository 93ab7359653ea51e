//! The servers under test, started for one run and ended with it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::programs::Programs;
use super::suite::Suite;
use crate::sh::{self, Context, Failure, Result};

/// The one tenant of a gateway under test.
const TENANT: &str = "conformance";

/// The settings of a gateway under test: names as the fixture has them, and no limit in the way.
const SETTINGS: &str = r#"
[server]
listen = "127.0.0.1:0"
operations_listen = "127.0.0.1:0"
[gateway]
prefix = "never"
[log]
filter = "error"
"#;

/// A running server. What is in front comes first, as fields are dropped in order.
pub(super) struct Target {
    pub(super) url: String,
    _processes: Vec<Process>,
    _directory: Option<TempDir>,
}

/// The fixture, speaking `protocol`, with nothing in front of it.
///
/// # Errors
/// When it does not start.
pub(super) fn fixture(protocol: &str, programs: &Programs, _suite: &Suite) -> Result<Target> {
    let mut command = Command::new(&programs.fixture);
    // The suite asks for errors on purpose, and the fixture would log each.
    command.args(["--http", "127.0.0.1:0", "--protocol", protocol]).env("RUST_LOG", "off");
    let (process, url) = Process::start(&mut command, "http://")?;
    Ok(Target { url, _processes: vec![process], _directory: None })
}

/// The platform with its gateway in front of the fixture over stdio, and a shim that brings the token.
///
/// # Errors
/// When something does not start.
pub(super) fn gateway(protocol: &str, programs: &Programs, suite: &Suite) -> Result<Target> {
    let Programs { fixture, platform } = programs;
    let directory = tempfile::tempdir().context("a temporary directory")?;
    let server = json!({"command": fixture, "args": ["--stdio", "--protocol", protocol]});
    write(&directory, ".mcp.json", &json!({"mcpServers": {"fixture": server}}).to_string())?;
    write(&directory, "mcp-platform.toml", SETTINGS)?;

    let run = |arguments: &[&str]| {
        let said = sh::output(Command::new(platform).arg("--json").args(arguments).current_dir(&directory))?;
        serde_json::from_str::<Value>(&said).context("reading what mcp-platform wrote")
    };
    run(&["tenant", "create", TENANT, "--requests-per-minute", "1000000"])?;
    let key = run(&["key", "create", TENANT])?;
    let Some(key) = key["key"].as_str() else { return Err(Failure::new("mcp-platform created no key")) };

    let mut serve = Command::new(platform);
    let (platform, url) = Process::start(serve.arg("serve").current_dir(&directory), "http://")?;
    let mut shim = Command::new(suite.node());
    shim.arg(sh::root().join("xtask/conformance/shim.mjs")).arg(url).env("TOKEN", key);
    let (shim, url) = Process::start(&mut shim, "http://")?;
    Ok(Target { url, _processes: vec![shim, platform], _directory: Some(directory) })
}

fn write(directory: &TempDir, name: &str, text: &str) -> Result {
    let path = directory.path().join(name);
    fs::write(&path, text).context(path.display())
}
