//! Real servers from the public registries.

use std::time::Duration;

use mcp_automation::{
    fleet::Fleet,
    release::{Installed, Installer},
    source::{Phase, Reporter},
    upstream::Upstreams as _,
};
use mcp_core::clock::SystemClock;
use serde_json::{Value, json};

use crate::{
    fleet_support::{call, fleet, name, operator, scope},
    install::{config, left},
};

async fn installer(dir: &std::path::Path) -> Installer {
    Installer::open(config(dir), std::sync::Arc::new(SystemClock)).await.unwrap()
}

async fn install(installer: &Installer, server: &str, package: &str) -> Installed {
    let report = Reporter::default();
    let installed = installer.install(&name(server), &package.parse().unwrap(), &report).await.unwrap();
    assert_eq!(report.latest().phase, Phase::Installing);
    installed
}

async fn serve(fleet: &Fleet, server: &str, installed: &Installed) {
    let spec = installed.spec(name(server), &[], &Default::default());
    let candidate = fleet.try_out(&operator(), spec).await.unwrap();
    fleet.adopt(&operator(), candidate).unwrap();
}

async fn ask(fleet: &Fleet, server: &str, tool: &str, arguments: Value) -> (String, Value) {
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name(server)).await.unwrap();
    let answer = call(&*upstream, &scope, tool, arguments).await.unwrap();
    let info: Value = serde_json::from_str(upstream.info().raw.get()).unwrap();
    let version = info["serverInfo"]["version"].as_str().unwrap_or_default().to_owned();
    (version, answer)
}

fn fleet_of_slow_starters() -> Fleet {
    fleet(
        vec![],
        mcp_automation::fleet::FleetConfig {
            start: Duration::from_secs(60),
            ..crate::fleet_support::config()
        },
    )
}

#[tokio::test]
async fn two_releases_of_a_real_npm_server_and_back_again() {
    let dir = tempfile::tempdir().unwrap();
    let installer = installer(dir.path()).await;
    let package = |version: &str| format!("npm:@modelcontextprotocol/server-everything@{version}");
    let old = install(&installer, "everything", &package("2026.7.4")).await;
    let new = install(&installer, "everything", &package("2026.8.31")).await;
    let fleet = fleet_of_slow_starters();
    for installed in [&old, &new, &old] {
        serve(&fleet, "everything", installed).await;
        let (_, answer) = ask(&fleet, "everything", "echo", json!({ "message": "hello" })).await;
        assert_eq!(answer["content"][0]["text"], "Echo: hello");
        let process = std::fs::read_dir("/proc").unwrap().flatten().find(|entry| {
            let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&cmdline).contains(installed.folder().to_str().unwrap())
        });
        assert!(process.is_some(), "the program of the release's own folder runs");
    }
    fleet.shutdown(Duration::from_secs(1)).await;
    for installed in [old, new] {
        let manifest = installed.manifest();
        assert!(manifest.installed_by.starts_with("npm "), "{}", manifest.installed_by);
        installer.load(&name("everything"), &manifest.version, &manifest.artifact).await.unwrap();
    }
    assert_eq!(left(dir.path()).len(), 1);
}

#[tokio::test]
async fn two_releases_of_a_real_python_server_and_back_again() {
    let dir = tempfile::tempdir().unwrap();
    let installer = installer(dir.path()).await;
    let old = install(&installer, "time", "pypi:mcp-server-time==2026.10.10").await;
    let new = install(&installer, "time", "pypi:mcp-server-time==2026.10.19").await;
    let fleet = fleet_of_slow_starters();
    for installed in [&old, &new, &old] {
        serve(&fleet, "time", installed).await;
        let (_, answer) =
            ask(&fleet, "time", "get_current_time", json!({ "timezone": "Europe/Berlin" })).await;
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("Europe/Berlin"), "{answer}");
    }
    fleet.shutdown(Duration::from_secs(1)).await;
    for installed in [old, new] {
        // Running it wrote nothing into its folder.
        let manifest = installed.manifest();
        assert!(manifest.installed_by.starts_with("pip "), "{}", manifest.installed_by);
        installer.load(&name("time"), &manifest.version, &manifest.artifact).await.unwrap();
    }
}
