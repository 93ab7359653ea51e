//! The suite on every backend, and what only a database can show.
//!
//! PostgreSQL needs a server: `cargo xtask test` starts one and sets `DATABASE_URL`. Without it they fail.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use mcp_automation::{
    POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS,
    conformance::{self, RELEASE_STORE},
    protocol::ServerName,
    release::{
        AddedServer, MemoryReleaseStore, NewServer, PostgresReleaseStore, Refusal, ReleaseStore, Settings,
        SqliteReleaseStore,
    },
    source::{Hash, Version},
};
use mcp_core::{
    ErrorKind, PlatformScope, Result,
    clock::SystemClock,
    conformance::PgTestDatabase,
    key::{MasterKey, Secret},
    sql::{
        postgres::PgKernel,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use sqlx::Row as _;

use crate::fleet_support::{name, operator};

async fn sqlite(directory: &Path, master: MasterKey) -> (SqliteKernel, SqliteReleaseStore) {
    let config = SqliteConfig::new(directory);
    let kernel = SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(SystemClock)).await.unwrap();
    (kernel.clone(), SqliteReleaseStore::new(kernel, master))
}

#[tokio::test]
async fn memory() {
    let report = conformance::run(RELEASE_STORE, async || {
        Arc::new(MemoryReleaseStore::default()) as Arc<dyn ReleaseStore>
    })
    .await;
    assert_eq!(report.failures(), None);
}

#[tokio::test]
async fn in_sqlite() {
    let directories = Mutex::new(Vec::new());
    let report = conformance::run(RELEASE_STORE, async || {
        let directory = tempfile::tempdir().unwrap();
        let (_, store) = sqlite(directory.path(), MasterKey::ephemeral().unwrap()).await;
        directories.lock().unwrap().push(directory);
        Arc::new(store) as Arc<dyn ReleaseStore>
    })
    .await;
    assert_eq!(report.failures(), None);
}

#[tokio::test]
async fn in_postgres() {
    let used = Mutex::new(Vec::new());
    let report = conformance::run(RELEASE_STORE, async || {
        let database = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
        PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
        let connected =
            PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], Arc::new(SystemClock));
        let kernel = connected.await.unwrap();
        used.lock().unwrap().push((database, kernel.clone()));
        Arc::new(PostgresReleaseStore::new(kernel, MasterKey::ephemeral().unwrap())) as Arc<dyn ReleaseStore>
    })
    .await;
    assert_eq!(report.failures(), None);
    for (database, kernel) in used.into_inner().unwrap() {
        kernel.close().await;
        database.destroy().await.unwrap();
    }
}

fn new(server: &str) -> NewServer {
    let env = [("TOKEN".to_owned(), Secret::new("s3cret".to_owned()))].into();
    NewServer {
        name: name(server),
        package: "npm:srv".parse().unwrap(),
        settings: Settings { env, ..Settings::default() },
        version: Version::parse("1.0.0").unwrap(),
        artifact: artifact(),
    }
}

fn artifact() -> Hash {
    Hash::parse("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=").unwrap()
}

#[tokio::test]
async fn each_change_leaves_one_event_and_one_record_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let master = MasterKey::ephemeral().unwrap();
    let (kernel, store) = sqlite(directory.path(), master.clone()).await;
    let (scope, srv, two) = (operator(), name("srv"), Version::parse("2.0.0").unwrap());
    store.add(&scope, new("srv")).await.unwrap();
    store.stage(&scope, &srv, &two, &artifact()).await.unwrap();
    store.stage(&scope, &srv, &two, &artifact()).await.unwrap();
    store.fail(&scope, &srv, &two, "does not start").await.unwrap();
    store.stage(&scope, &srv, &two, &artifact()).await.unwrap();
    store.activate(&scope, &srv, &two).await.unwrap();
    store.add(&scope, new("srv")).await.unwrap_err();
    let refusal =
        Refusal { name: name("x"), package: "npm:y@1.0.0".parse().unwrap(), reason: "a link".to_owned() };
    store.refused(&scope, &refusal).await.unwrap();
    store.remove(&scope, &srv).await.unwrap();

    let mut read = kernel.control_read(&scope).await.unwrap();
    let events: Vec<String> = sqlx::query("SELECT envelope FROM outbox ORDER BY seq")
        .fetch_all(read.conn())
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| {
            serde_json::from_str::<serde_json::Value>(event).unwrap()["type"].as_str().unwrap().to_owned()
        })
        .collect();
    let staged = "server.release_staged.v1";
    let wanted = [
        "server.added.v1",
        staged,
        "server.release_failed.v1",
        staged,
        "server.switched.v1",
        "server.refused.v1",
        "server.removed.v1",
    ];
    assert_eq!(kinds, wanted);
    let records: Vec<(String, String, String)> =
        sqlx::query_as("SELECT action, resource, actor FROM audit ORDER BY seq")
            .fetch_all(read.conn())
            .await
            .unwrap();
    let actor = scope.actor().as_str();
    let recorded: Vec<_> = records.iter().map(|(action, resource, by)| [action, resource, by]).collect();
    let wanted = [
        ["server.add", "server/srv", actor],
        ["server.stage", "server/srv", actor],
        ["server.fail", "server/srv", actor],
        ["server.stage", "server/srv", actor],
        ["server.use", "server/srv", actor],
        ["server.refuse", "server/x", actor],
        ["server.remove", "server/srv", actor],
    ];
    assert_eq!(recorded, wanted, "one record a change, and none for what changed nothing");
    drop(read);
    kernel.close().await;
    for file in std::fs::read_dir(directory.path()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "{:?}", file.path());
    }
}

#[tokio::test]
async fn what_was_added_outlives_the_process_and_opens_with_its_key_alone() {
    let directory = tempfile::tempdir().unwrap();
    let master = MasterKey::ephemeral().unwrap();
    let (kernel, store) = sqlite(directory.path(), master.clone()).await;
    let added = store.add(&operator(), new("srv")).await.unwrap();
    kernel.close().await;
    let (kernel, store) = sqlite(directory.path(), master).await;
    assert_eq!(store.get(&operator(), &added.name).await.unwrap(), Some(added.clone()));
    kernel.close().await;
    let (kernel, store) = sqlite(directory.path(), MasterKey::ephemeral().unwrap()).await;
    let error = store.get(&operator(), &added.name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    kernel.close().await;
}

/// A store with the bugs such stores have: everything counts as a change, failed releases are used again, and
/// one version may be two artifacts.
#[derive(Debug, Default)]
struct Sloppy(MemoryReleaseStore);

#[async_trait]
impl ReleaseStore for Sloppy {
    async fn add(&self, scope: &PlatformScope, server: NewServer) -> Result<AddedServer> {
        let _ = self.0.remove(scope, &server.name).await;
        self.0.add(scope, server).await
    }
    async fn get(&self, scope: &PlatformScope, name: &ServerName) -> Result<Option<AddedServer>> {
        self.0.get(scope, name).await
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        _: Option<&ServerName>,
        limit: u32,
    ) -> Result<Vec<AddedServer>> {
        self.0.list(scope, None, limit.min(2)).await.map(|mut page| {
            page.reverse();
            page
        })
    }
    async fn stage(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
        _: &Hash,
    ) -> Result<AddedServer> {
        let known =
            self.0.get(scope, name).await?.and_then(|server| Some(server.release(version)?.artifact.clone()));
        self.0.stage(scope, name, version, &known.unwrap_or_else(artifact)).await
    }
    async fn activate(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
    ) -> Result<AddedServer> {
        let server = self.stage(scope, name, version, &artifact()).await?;
        self.0.activate(scope, name, version).await?;
        Ok(server)
    }
    async fn fail(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
        _: &str,
    ) -> Result<AddedServer> {
        self.0.fail(scope, name, version, "").await
    }
    async fn remove(&self, scope: &PlatformScope, name: &ServerName) -> Result<AddedServer> {
        self.0.get(scope, name).await?.ok_or_else(|| mcp_core::Error::not_found("x", "x"))
    }
    async fn refused(&self, scope: &PlatformScope, refusal: &Refusal) -> Result<()> {
        self.0.refused(scope, refusal).await
    }
}

#[tokio::test]
async fn the_suite_bites() {
    // A list that never ends would never end here.
    let suite: Vec<_> = RELEASE_STORE
        .iter()
        .filter(|(name, _)| *name != "lists_are_complete_and_in_order")
        .copied()
        .collect();
    let report =
        conformance::run(&suite, async || Arc::new(Sloppy::default()) as Arc<dyn ReleaseStore>).await;
    let kept: Vec<_> =
        report.cases.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(name, _)| *name).collect();
    assert_eq!(kept, ["one_serves_after_a_race"], "{:?}", report.failures());
}
