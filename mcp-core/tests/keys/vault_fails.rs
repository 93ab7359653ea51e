//! A vault that is slow, down, refusing or lying: what is not open stays closed, what is open goes on for the
//! stated time, and all of it can be seen.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    ErrorKind,
    key::{DataKeys, DataKeysConfig, MemoryDataKeyStore, Sealed, VaultState},
};

use crate::support::{Mood, MoodyVault, TEXT, admin, keys_on, scope, tenant};

struct World {
    store: Arc<MemoryDataKeyStore>,
    vault: Arc<MoodyVault>,
    keys: DataKeys,
    sealed: Sealed,
    config: DataKeysConfig,
}

/// A process that has the key of `acme` open.
async fn world() -> World {
    let (store, vault) = (Arc::new(MemoryDataKeyStore::default()), MoodyVault::new());
    let keys = keys_on(store.clone(), vault.clone());
    let sealed = keys.seal(&scope("acme"), TEXT.row("1"), b"private").await.unwrap();
    World { store, vault, keys, sealed, config: DataKeysConfig::default() }
}

impl World {
    async fn open(&self) -> Result<(), ErrorKind> {
        let opened = self.keys.open(&scope("acme"), TEXT.row("1"), &self.sealed).await;
        opened.map(drop).map_err(|error| error.kind())
    }

    async fn seal_for_another(&self) -> ErrorKind {
        self.keys.seal(&scope("beta"), TEXT.row("1"), b"x").await.unwrap_err().kind()
    }
}

const JUST: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn open_keys_go_on_for_the_stated_time_while_the_vault_is_away() {
    for mood in [Mood::Away, Mood::Silent, Mood::Garbled] {
        let world = world().await;
        world.vault.becomes(mood);
        assert_eq!(world.open().await, Ok(()), "{mood:?}: it is open");
        tokio::time::advance(world.config.ttl).await;
        assert_eq!(world.open().await, Ok(()), "{mood:?}: it is held");
        let health = world.keys.health();
        assert_eq!((health.vault, health.is_ready()), (VaultState::Away, false), "{mood:?}");
        assert!(health.failure.is_some() && health.hold == world.config.hold, "{health:?}");
        // Where nobody answers, time passes with each question.
        tokio::time::advance(world.config.hold - world.config.ttl - 2 * world.config.patience - JUST).await;
        assert_eq!(world.open().await, Ok(()), "{mood:?}: it is held still");
        tokio::time::advance(2 * world.config.patience + JUST).await;
        assert!(world.open().await.is_err(), "{mood:?}: it was held for too long");
        world.vault.becomes(Mood::Well);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(world.open().await, Ok(()), "{mood:?}: the vault is back");
        assert_eq!(world.keys.health().vault, VaultState::Up);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_open_stays_closed_without_the_vault() {
    for (mood, kind) in [
        (Mood::Away, ErrorKind::Unavailable),
        (Mood::Silent, ErrorKind::Unavailable),
        (Mood::Garbled, ErrorKind::Upstream),
        (Mood::Refusing, ErrorKind::PermissionDenied),
    ] {
        let world = world().await;
        world.vault.becomes(mood);
        assert_eq!(world.seal_for_another().await, kind, "{mood:?}");
        let later = keys_on(world.store.clone(), world.vault.clone());
        let error = later.open(&scope("acme"), TEXT.row("1"), &world.sealed).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{mood:?}");
        assert!(later.rotate(&admin(), &tenant("acme")).await.is_err(), "{mood:?}");
        assert!(later.rewrap_batch(&admin(), None, 10).await.is_err(), "{mood:?}");
    }
}

/// An operator takes the platform's token away: that is no outage.
#[tokio::test(start_paused = true)]
async fn a_refusal_closes_what_is_open_within_the_stated_time() {
    let world = world().await;
    world.vault.becomes(Mood::Refusing);
    tokio::time::advance(world.config.ttl - JUST).await;
    assert_eq!(world.open().await, Ok(()));
    tokio::time::advance(JUST).await;
    assert_eq!(world.open().await, Err(ErrorKind::PermissionDenied));
    assert_eq!(world.keys.health().vault, VaultState::Refusing);
    world.vault.becomes(Mood::Away);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.open().await, Err(ErrorKind::Unavailable), "what was refused came back");
}

#[tokio::test(start_paused = true)]
async fn a_lying_vault_is_found_out_and_its_key_seals_nothing() {
    let world = world().await;
    world.vault.becomes(Mood::Lying);
    let later = keys_on(world.store.clone(), world.vault.clone());
    let error = later.seal(&scope("acme"), TEXT.row("2"), b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    tokio::time::advance(world.config.ttl).await;
    assert_eq!(world.open().await, Err(ErrorKind::Corrupted));
}

#[tokio::test(start_paused = true)]
async fn shredding_needs_no_vault() {
    let world = world().await;
    world.vault.becomes(Mood::Away);
    assert_eq!(world.keys.shred(&admin(), &tenant("acme")).await.unwrap().keys, 1);
    assert_eq!(world.open().await, Err(ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_vault_in_trouble_is_not_asked_at_every_call() {
    let world = world().await;
    world.vault.becomes(Mood::Away);
    tokio::time::advance(world.config.ttl).await;
    world.vault.asked();
    for _ in 0..100 {
        world.open().await.unwrap();
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert_eq!(world.vault.asked(), 1);
    for _ in 0..10 {
        world.seal_for_another().await;
    }
    assert_eq!(world.vault.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_no_longer_than_its_deadline() {
    let world = world().await;
    world.vault.becomes(Mood::Silent);
    let soon = std::time::Instant::now();
    let late = scope("beta").with_deadline(soon);
    let error = world.keys.seal(&late, TEXT.row("1"), b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
}
