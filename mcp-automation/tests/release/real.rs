//! Real servers from the public registries.

use std::{path::PathBuf, time::Duration};

use mcp_automation::{
    fleet::{Fleet, ServerState},
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

/// The folder in which the process runs that answers, and its answer.
async fn ask(fleet: &Fleet, server: &str, tool: &str, arguments: Value) -> (PathBuf, Value) {
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name(server)).await.unwrap();
    let answer = call(&*upstream, &scope, tool, arguments).await.unwrap();
    // A server may say any version of itself; where its program was started from is what the platform did.
    let running: Vec<_> = fleet
        .status(&operator())
        .into_iter()
        .filter_map(|status| match status.state {
            ServerState::Ready { pid, .. } => pid,
            _ => None,
        })
        .collect();
    let [pid] = running[..] else { panic!("not one process serves: {running:?}") };
    (std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), answer)
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
    assert_ne!(old.folder(), new.folder());
    for installed in [&old, &new, &old] {
        serve(&fleet, "everything", installed).await;
        let (folder, answer) = ask(&fleet, "everything", "echo", json!({ "message": "hello" })).await;
        assert_eq!(answer["content"][0]["text"], "Echo: hello");
        assert_eq!(folder, installed.folder(), "another release answered");
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
    assert_ne!(old.folder(), new.folder());
    for installed in [&old, &new, &old] {
        serve(&fleet, "time", installed).await;
        let (folder, answer) =
            ask(&fleet, "time", "get_current_time", json!({ "timezone": "Europe/Berlin" })).await;
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("Europe/Berlin"), "{answer}");
        assert_eq!(folder, installed.folder(), "another release answered");
    }
    fleet.shutdown(Duration::from_secs(1)).await;
    for installed in [old, new] {
        // Running it wrote nothing into its folder.
        let manifest = installed.manifest();
        assert!(manifest.installed_by.starts_with("pip "), "{}", manifest.installed_by);
        installer.load(&name("time"), &manifest.version, &manifest.artifact).await.unwrap();
    }
}
