//! Data keys in SQLite: the suite, and what only a database can show.

use std::{path::Path, sync::Arc};

use mcp_core::{
    clock::SystemClock,
    conformance::{Cut, cancel_at, platform, run_data_key_store},
    key::{DataKeyStore, SqliteDataKeyStore},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use sqlx::Row as _;

use crate::support::{MoodyVault, TEXT, admin, keys_on, scope, tenant};

async fn open(directory: &Path) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    SqliteKernel::open(config, &[], Arc::new(SystemClock)).await.unwrap()
}

async fn place(kernel: &SqliteKernel, id: &str, mode: IsolationMode) {
    let mut tx = kernel.control(&admin()).await.unwrap();
    kernel.place(&mut tx, &tenant(id), mode, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&admin(), &tenant(id)).await.unwrap();
}

async fn platform_records(kernel: &SqliteKernel) -> Vec<String> {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    let rows = sqlx::query("SELECT action FROM audit ORDER BY seq").fetch_all(read.conn()).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let store: Arc<dyn DataKeyStore> = Arc::new(SqliteDataKeyStore::new(kernel.clone()));
    assert_eq!(run_data_key_store(&store).await.failures(), None);
    kernel.close().await;
}

#[tokio::test]
async fn every_change_is_recorded_with_it_and_refused_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (kernel, vault) = (open(directory.path()).await, MoodyVault::new());
    let store = Arc::new(SqliteDataKeyStore::new(kernel.clone()));
    let keys = keys_on(store.clone(), vault.clone());
    keys.seal(&scope("acme"), TEXT.row("1"), b"x").await.unwrap();
    keys.rotate(&admin(), &tenant("acme")).await.unwrap();
    vault.rotate();
    for _ in 0..2 {
        keys.rewrap_batch(&admin(), None, 10).await.unwrap();
    }
    for _ in 0..2 {
        keys.shred(&admin(), &tenant("acme")).await.unwrap();
    }
    assert!(keys.rotate(&admin(), &tenant("acme")).await.is_err());
    let expected = ["data_key.create", "data_key.rotate", "data_key.rewrap", "data_key.shred"];
    assert_eq!(platform_records(&kernel).await, expected);
    kernel.close().await;
}

#[tokio::test]
async fn unsealing_is_in_the_tenants_own_log_in_every_mode() {
    let directory = tempfile::tempdir().unwrap();
    let (kernel, vault) = (open(directory.path()).await, MoodyVault::new());
    let store = Arc::new(SqliteDataKeyStore::new(kernel.clone()));
    for (id, mode) in [("filed", IsolationMode::Database), ("rowed", IsolationMode::Row)] {
        place(&kernel, id, mode).await;
        let sealed =
            keys_on(store.clone(), vault.clone()).seal(&scope(id), TEXT.row("1"), b"x").await.unwrap();
        keys_on(store.clone(), vault.clone()).reveal(&scope(id), TEXT.row("1"), &sealed).await.unwrap();
        let mut read = kernel.read(&scope(id)).await.unwrap();
        let rows = sqlx::query("SELECT action FROM audit WHERE tenant_id = ? ORDER BY seq")
            .bind(id)
            .fetch_all(read.conn())
            .await
            .unwrap();
        let actions: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(actions, ["secret.unseal", "secret.reveal"], "{id}");
    }
    kernel.close().await;
}

#[tokio::test]
async fn a_destroyed_key_is_gone_from_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let (kernel, vault) = (open(directory.path()).await, MoodyVault::new());
    let store = Arc::new(SqliteDataKeyStore::new(kernel.clone()));
    let keys = keys_on(store.clone(), vault);
    keys.seal(&scope("acme"), TEXT.row("1"), b"x").await.unwrap();
    let stored = store.newest(&admin(), &tenant("acme")).await.unwrap().unwrap();
    let mcp_core::key::KeyState::Live { wrapped, .. } = stored.state else { panic!("no live key") };
    keys.shred(&admin(), &tenant("acme")).await.unwrap();
    // Closing moves the log into the file.
    kernel.close().await;
    for file in std::fs::read_dir(directory.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let found = bytes.windows(wrapped.bytes.len()).any(|window| window == wrapped.bytes);
        assert!(!found, "the wrapped key is still in {:?}", file.file_name());
    }
}

/// A shredding that is dropped at any of its awaits has happened whole or not at all, and can be repeated.
#[tokio::test]
async fn a_shredding_cancelled_anywhere_is_whole_or_nothing() {
    for polls in 1..200 {
        let directory = tempfile::tempdir().unwrap();
        let kernel = open(directory.path()).await;
        let store = SqliteDataKeyStore::new(kernel.clone());
        let keys = keys_on(Arc::new(store.clone()), MoodyVault::new());
        for _ in 0..2 {
            keys.rotate(&platform().unwrap(), &tenant("acme")).await.unwrap();
        }
        let cut = cancel_at(polls, store.shred(&admin(), &tenant("acme"))).await;
        let all = store.all(&admin(), &tenant("acme")).await.unwrap();
        let live = all.iter().filter(|key| matches!(key.state, mcp_core::key::KeyState::Live { .. })).count();
        assert!(live == 0 || live == 2, "{all:?}");
        assert_eq!(store.shred(&admin(), &tenant("acme")).await.unwrap().keys, 2);
        let expected = ["data_key.create", "data_key.rotate", "data_key.shred"];
        assert_eq!(platform_records(&kernel).await, expected);
        kernel.close().await;
        if matches!(cut, Cut::Completed(_)) {
            assert!(polls > 3, "there was nothing to cancel");
            return;
        }
    }
    panic!("no run was long enough to finish");
}
