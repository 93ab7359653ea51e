//! What the guide shows works as it stands there.

use std::{net::TcpListener, process::Command};

use mcp_platform::config::{self, Config, Source};

use crate::support::bounded::{self, LONG};

const FIRST_PLATFORM: &str = include_str!("../../../../docs/guide/first-platform.md");
const CONFIGURATION: &str = include_str!("../../../../docs/guide/configuration.md");
const LIMITS: &str = include_str!("../../../../docs/guide/limits.md");

/// The fenced blocks whose info string is `info`.
fn blocks<'a>(page: &'a str, info: &str) -> Vec<&'a str> {
    let fence = format!("```{info}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_first_platform_works_as_written() {
    let directory = tempfile::tempdir().unwrap();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, operations) = (free(), free());
    let steps =
        blocks(FIRST_PLATFORM, "sh run").concat().replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"));
    // A script that stops at a failed step must not leave its server behind.
    let script = format!("set -eux\ntrap 'kill $(jobs -p) || true' EXIT\n{steps}\ntrap - EXIT\n");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_mcp-platform"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("XDG_CACHE_HOME", crate::support::cache_of_nobody())
        .env("MCP_PLATFORM__SERVER__LISTEN", format!("127.0.0.1:{port}"))
        .env("MCP_PLATFORM__SERVER__OPERATIONS_LISTEN", format!("127.0.0.1:{operations}"));
    let done = bounded::output(&mut shell, LONG);
    let log = std::fs::read_to_string(directory.path().join("platform/serve.log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}\n{said}\n{log}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn the_configuration_for_production_is_read() {
    let pages = [CONFIGURATION, LIMITS].map(|page| blocks(page, "toml config"));
    assert!(pages.iter().all(|pages| !pages.is_empty()));
    let directory = tempfile::tempdir().unwrap();
    for page in pages.concat() {
        let file = directory.path().join("mcp-platform.toml");
        std::fs::write(&file, page).unwrap();
        let source = Source { file: Some(file), environment: Vec::new() };
        source.load().unwrap();
    }
}

#[test]
fn the_defaults_are_those_of_the_code() {
    let printed = config::print(&Config::default()).unwrap();
    let written = blocks(CONFIGURATION, "toml defaults").concat();
    assert_eq!(
        written.trim(),
        printed.trim(),
        "put the output of `mcp-platform config` into docs/guide/configuration.md"
    );
}
