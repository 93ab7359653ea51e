//! The life of an added server: added, switched, gone back, removed; and what another replica makes of it.

use std::{path::Path, sync::Arc, time::Duration};

use mcp_automation::{
    fleet::Fleet,
    release::{
        Installer, Local, MemoryReleaseStore, Operation, OperationState, ReleaseState, ReleaseStore as _,
        Releases, ReleasesDeps, Settings,
    },
    source::{ClientLimits, Phase, Version},
    upstream::Upstreams as _,
};
use mcp_core::{ErrorKind, Result, clock::SystemClock};
use serde_json::json;

use crate::{
    fleet_support::{self, call, fleet, name, operator, python, scope},
    install::{NOTHING, config, left},
    packages::{file, npm, tarball},
    registry::Registry,
};

struct Replica {
    releases: Arc<Releases>,
    fleet: Arc<Fleet>,
    dir: tempfile::TempDir,
}

impl Replica {
    async fn start(registry: &Registry, store: &MemoryReleaseStore) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (releases, fleet) = start(dir.path(), registry, store).await;
        Self { releases, fleet, dir }
    }

    /// Waits for an operation; gives what it came to.
    async fn ended(&self, operation: Result<Operation>) -> OperationState {
        let id = operation.unwrap().id;
        loop {
            let now = self.releases.operation(&operator(), id).unwrap();
            if now.state != OperationState::Running {
                assert!(now.ended_at.is_some() && now.progress.phase == Phase::Done);
                return now.state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn add(&self, server: &str, package: &str) -> OperationState {
        let settings = Settings { stateless: true, ..Settings::default() };
        let operation = self.releases.add(operator(), name(server), package.parse().unwrap(), settings).await;
        self.ended(operation).await
    }

    async fn switch(&self, server: &str, version: &str) -> OperationState {
        let version = Some(Version::parse(version).unwrap());
        let operation = self.releases.use_release(operator(), name(server), version).await;
        self.ended(operation).await
    }

    async fn states(&self, server: &str) -> Vec<(String, ReleaseState)> {
        let server = self.releases.server(&operator(), &name(server)).await.unwrap();
        server.releases.iter().map(|release| (release.version.to_string(), release.state)).collect()
    }

    /// The version that answers.
    async fn answers(&self, server: &str) -> Result<String> {
        let scope = scope("acme");
        let upstream = self.fleet.connect(&scope, &name(server)).await?;
        let reply = call(&*upstream, &scope, "version", json!({})).await?;
        Ok(reply["content"][0]["text"].as_str().unwrap().to_owned())
    }

    async fn end(self) {
        self.releases.shutdown().await;
        self.fleet.shutdown(Duration::from_secs(1)).await;
    }
}

async fn start(dir: &Path, registry: &Registry, store: &MemoryReleaseStore) -> (Arc<Releases>, Arc<Fleet>) {
    let mut config = config(dir);
    config.npm_registry = registry.url.parse().unwrap();
    config.client = ClientLimits { backoff: Duration::from_millis(5), ..ClientLimits::default() };
    let clock = Arc::new(SystemClock);
    let installer = Installer::open(config, clock.clone()).await.unwrap();
    let fleet = Arc::new(fleet(vec![python("fixed", "legacy")], fleet_support::config()));
    let store = Arc::new(store.clone());
    let compare_every = Duration::from_millis(50);
    let releases =
        Releases::new(ReleasesDeps { fleet: fleet.clone(), store, installer, clock, compare_every });
    releases.start().await.unwrap();
    (releases, fleet)
}

async fn registry() -> Registry {
    let registry = Registry::start().await;
    let broken = tarball(&[
        file("package/package.json", r#"{"name":"srv","version":"3.0.0","bin":"x.js"}"#),
        file("package/x.js", "console.error('no such module: nonsense'); process.exit(9)"),
    ]);
    let versions =
        [("1.0.0", npm("srv", "1.0.0"), None), ("2.0.0", npm("srv", "2.0.0"), None), ("3.0.0", broken, None)];
    registry.npm("srv", &versions);
    registry
}

fn done(version: &str) -> OperationState {
    OperationState::Done { version: Version::parse(version).unwrap() }
}

fn reason(state: &OperationState) -> &str {
    let OperationState::Failed { error } = state else { panic!("{state:?}") };
    &error.message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_switched_gone_back_and_removed_under_a_stream_of_calls() {
    use ReleaseState::{Active, Failed, Previous};
    let replica = Replica::start(&registry().await, &MemoryReleaseStore::default()).await;
    assert_eq!(replica.add("srv", "npm:srv@1.0.0").await, done("1.0.0"));
    assert_eq!(replica.answers("srv").await.unwrap(), "1.0.0");

    let stop = tokio_util::sync::CancellationToken::new();
    let calls = async {
        let mut calls = 0;
        while !stop.is_cancelled() {
            replica.answers("srv").await.unwrap();
            calls += 1;
        }
        calls
    };
    let switches = async {
        for version in ["2.0.0", "1.0.0", "2.0.0"] {
            assert_eq!(replica.switch("srv", version).await, done(version));
            assert_eq!(replica.answers("srv").await.unwrap(), version);
        }
        // The one that serves goes on serving where the next does not start.
        let failed = replica.switch("srv", "3.0.0").await;
        assert!(
            reason(&failed).contains("status 9") && reason(&failed).contains("no such module: nonsense"),
            "{failed:?}"
        );
        stop.cancel();
    };
    let (calls, ()) = tokio::join!(calls, switches);
    assert!(calls > 20, "only {calls} calls");
    assert_eq!(replica.answers("srv").await.unwrap(), "2.0.0");
    let states = [("1.0.0", Previous), ("2.0.0", Active), ("3.0.0", Failed)].map(|(v, s)| (v.to_owned(), s));
    assert_eq!(replica.states("srv").await, states);

    let unknown = replica.switch("srv", "1.5.0").await;
    assert!(reason(&unknown).contains("the nearest are `1.0.0`, `2.0.0` and `3.0.0`"), "{unknown:?}");
    replica.releases.remove(&operator(), &name("srv")).await.unwrap();
    assert_eq!(replica.answers("srv").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(left(replica.dir.path()), NOTHING);
    replica.end().await;
}

#[tokio::test]
async fn what_cannot_be_added_leaves_nothing_behind() {
    let store = MemoryReleaseStore::default();
    let replica = Replica::start(&registry().await, &store).await;
    for (package, wanted) in [
        ("npm:srv@1.0.1", "the nearest are `1.0.0`, `2.0.0`"),
        ("npm:nothing", "no package `npm:nothing`"),
        ("npm:srv@3.0.0", "status 9"),
    ] {
        let failed = replica.add("srv", package).await;
        assert!(reason(&failed).contains(wanted), "{package}: {failed:?}");
        assert_eq!(store.list(&operator(), None, 10).await.unwrap(), []);
        assert_eq!(left(replica.dir.path()), NOTHING, "{package}");
    }
    let add = |server: &str| {
        replica.releases.add(operator(), name(server), "npm:srv@1.0.0".parse().unwrap(), Settings::default())
    };
    let clash = add("fixed").await.unwrap_err();
    assert!(clash.kind() == ErrorKind::Conflict && clash.message().contains("operator's file"), "{clash}");
    let running = add("srv").await;
    let second = add("srv").await.unwrap_err();
    assert!(second.kind() == ErrorKind::Conflict && second.message().contains("wait for it"), "{second}");
    assert_eq!(replica.ended(running).await, done("1.0.0"));
    assert_eq!(add("srv").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let bad = Settings {
        env: [("A=B".to_owned(), mcp_core::key::Secret::new(String::new()))].into(),
        ..Settings::default()
    };
    let bad = replica.releases.add(operator(), name("x"), "npm:srv".parse().unwrap(), bad).await.unwrap_err();
    assert!(bad.message().contains("`env.A=B`"), "{bad}");
    let unknown = replica.releases.use_release(operator(), name("none"), None).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    replica.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_has_nothing_installs_what_serves_and_follows_each_switch() {
    let (registry, store) = (registry().await, MemoryReleaseStore::default());
    let first = Replica::start(&registry, &store).await;
    assert_eq!(first.add("srv", "npm:srv@1.0.0").await, done("1.0.0"));
    let second = Replica::start(&registry, &store).await;
    let follows = async |version: &str| {
        let wanted = Local::Serves(Version::parse(version).unwrap());
        while second.releases.local(&name("srv")) != Some(wanted.clone()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(second.answers("srv").await.unwrap(), version);
    };
    follows("1.0.0").await;
    assert_eq!(first.switch("srv", "2.0.0").await, done("2.0.0"));
    follows("2.0.0").await;
    first.releases.remove(&operator(), &name("srv")).await.unwrap();
    while second.releases.local(&name("srv")).is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(second.answers("srv").await.unwrap_err().kind(), ErrorKind::NotFound);
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn after_a_restart_what_is_there_serves_without_the_registry() {
    let (registry, store) = (registry().await, MemoryReleaseStore::default());
    let mut replica = Replica::start(&registry, &store).await;
    assert_eq!(replica.add("srv", "npm:srv@1.0.0").await, done("1.0.0"));
    replica.releases.shutdown().await;
    replica.fleet.shutdown(Duration::ZERO).await;
    let asked = registry.asked.load(std::sync::atomic::Ordering::Relaxed);
    (replica.releases, replica.fleet) = start(replica.dir.path(), &registry, &store).await;
    assert_eq!(replica.answers("srv").await.unwrap(), "1.0.0");
    assert_eq!(registry.asked.load(std::sync::atomic::Ordering::Relaxed), asked);
    replica.end().await;
}
