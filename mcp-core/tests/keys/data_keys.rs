//! What data keys promise: who opens what, before and after rotating, wrapping anew and shredding.

use std::sync::Arc;

use mcp_core::{
    ErrorKind,
    key::{DataKeyStore, DataKeys, KeyState, KeyVault, MemoryDataKeyStore, Sealed},
};
use proptest::prelude::*;

use crate::support::{MoodyVault, RecordingStore, TEXT, admin, keys_on, scope, tenant};

fn fresh() -> (Arc<MemoryDataKeyStore>, Arc<MoodyVault>, DataKeys) {
    let (store, vault) = (Arc::new(MemoryDataKeyStore::default()), MoodyVault::new());
    let keys = keys_on(store.clone(), vault.clone());
    (store, vault, keys)
}

async fn opens(keys: &DataKeys, tenant: &str, sealed: &Sealed, expected: &[u8]) {
    let opened = keys.open(&scope(tenant), TEXT.row("1"), sealed).await.unwrap();
    assert_eq!(opened.expose(), expected);
}

#[tokio::test]
async fn a_value_opens_for_its_tenant_in_its_cell_only() {
    let (_, _, keys) = fresh();
    let sealed = keys.seal(&scope("acme"), TEXT.row("1"), b"private").await.unwrap();
    keys.seal(&scope("beta"), TEXT.row("1"), b"other").await.unwrap();
    opens(&keys, "acme", &sealed, b"private").await;
    let other_column = mcp_core::key::Column::new("note", "title");
    for (tenant, cell, what) in [
        ("acme", TEXT.row("2"), "moved to another row"),
        ("acme", other_column.row("1"), "moved to another column"),
        ("beta", TEXT.row("1"), "moved to another tenant"),
    ] {
        let error = keys.open(&scope(tenant), cell, &sealed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted, "{what}");
        assert!(!error.report().contains("private"), "{what}");
    }
    let mut renumbered = sealed.as_bytes().to_vec();
    renumbered[4] = 9;
    let renumbered = Sealed::from_stored(renumbered).unwrap();
    let error = keys.open(&scope("acme"), TEXT.row("1"), &renumbered).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
}

/// Whoever can write to the database moves wrapped keys too.
#[tokio::test]
async fn a_wrapped_key_moved_to_another_tenant_does_not_open() {
    let (store, vault, keys) = fresh();
    let sealed = keys.seal(&scope("acme"), TEXT.row("1"), b"private").await.unwrap();
    let stolen = store.newest(&admin(), &tenant("acme")).await.unwrap().unwrap();
    let KeyState::Live { wrapped, check } = stolen.state else { panic!("no live key") };
    let moved = mcp_core::key::NewDataKey { tenant: tenant("mallory"), version: 1, wrapped, check };
    store.first(&admin(), moved).await.unwrap();
    let error = keys_on(store, vault).open(&scope("mallory"), TEXT.row("1"), &sealed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
}

#[tokio::test]
async fn rotating_seals_anew_and_keeps_what_was_readable() {
    let (_, _, keys) = fresh();
    let acme = scope("acme");
    let mut sealed = Vec::new();
    for version in 1..=5_u32 {
        let value = keys.seal(&acme, TEXT.row("1"), &[u8::try_from(version).unwrap()]).await.unwrap();
        assert_eq!(value.key_version(), version);
        sealed.push(value);
        assert_eq!(keys.rotate(&admin(), &tenant("acme")).await.unwrap(), version + 1);
    }
    for (value, n) in sealed.iter().zip(1..) {
        opens(&keys, "acme", value, &[n]).await;
    }
}

#[tokio::test]
async fn wrapping_anew_goes_through_all_tenants_and_lets_the_old_wrapping_key_go() {
    let (store, vault, keys) = fresh();
    let mut sealed = Vec::new();
    for n in 0..7_u8 {
        let scope = scope(&format!("t{n}"));
        sealed.push(keys.seal(&scope, TEXT.row("1"), &[n]).await.unwrap());
        keys.rotate(&admin(), scope.tenant()).await.unwrap();
    }
    keys.shred(&admin(), &tenant("t3")).await.unwrap();
    let before = vault.current_key().await.unwrap();
    vault.rotate();
    assert_eq!(keys.wrapping_keys(&admin()).await.unwrap(), [(before.clone(), 12)]);

    let (mut next, mut progress) = (None, Vec::new());
    loop {
        let batch = keys.rewrap_batch(&admin(), next.as_ref(), 2).await.unwrap();
        assert!(batch.failed.is_empty(), "{batch:?}");
        progress.push((batch.tenants, batch.rewrapped));
        next = batch.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(progress, [(2, 4), (2, 4), (2, 4), (0, 0)]);
    let after = vault.current_key().await.unwrap();
    assert_eq!(keys.wrapping_keys(&admin()).await.unwrap(), [(after, 12)]);
    assert_eq!(keys.rewrap(&admin(), &tenant("t1")).await.unwrap(), 0, "it was wrapped anew again");

    vault.retire_older();
    let later = keys_on(store, vault);
    for n in [0, 1, 2, 4, 5, 6] {
        opens(&later, &format!("t{n}"), &sealed[n], &[u8::try_from(n).unwrap()]).await;
    }
}

#[tokio::test]
async fn a_key_that_does_not_open_is_named_and_stops_nothing() {
    let (store, vault, keys) = fresh();
    for id in ["acme", "zeta"] {
        keys.seal(&scope(id), TEXT.row("1"), b"x").await.unwrap();
    }
    let lost = MoodyVault::new();
    keys_on(store.clone(), lost).seal(&scope("lost"), TEXT.row("1"), b"x").await.unwrap();
    vault.rotate();
    let batch = keys.rewrap_batch(&admin(), None, 10).await.unwrap();
    assert_eq!((batch.tenants, batch.rewrapped, batch.next), (3, 2, None));
    assert_eq!(batch.failed, [tenant("lost")]);
}

#[tokio::test]
async fn shredding_makes_all_unreadable_here_and_elsewhere() {
    let (store, vault, keys) = fresh();
    let elsewhere = keys_on(store.clone(), vault.clone());
    let acme = scope("acme");
    let mut sealed = Vec::new();
    for _ in 0..3 {
        sealed.push(keys.seal(&acme, TEXT.row("1"), b"private").await.unwrap());
        keys.rotate(&admin(), acme.tenant()).await.unwrap();
    }
    let bystander = keys.seal(&scope("beta"), TEXT.row("1"), b"kept").await.unwrap();
    let receipt = keys.shred(&admin(), acme.tenant()).await.unwrap();
    assert_eq!((receipt.keys, &receipt.wrapping_keys[..]), (4, &[vault.current_key().await.unwrap()][..]));
    assert_eq!(keys.shred(&admin(), acme.tenant()).await.unwrap(), receipt);
    for keys in [&keys, &elsewhere] {
        for value in &sealed {
            let error = keys.open(&acme, TEXT.row("1"), value).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().contains("destroyed"), "{error}");
        }
        let error = keys.seal(&acme, TEXT.row("1"), b"more").await.unwrap_err();
        assert!(error.message().contains("destroyed"), "{error}");
        opens(keys, "beta", &bystander, b"kept").await;
    }
    let error = keys.rotate(&admin(), acme.tenant()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_the_key_open_loses_it_within_the_stated_time() {
    let (store, vault, keys) = fresh();
    let elsewhere = keys_on(store, vault);
    let sealed = keys.seal(&scope("acme"), TEXT.row("1"), b"private").await.unwrap();
    opens(&elsewhere, "acme", &sealed, b"private").await;
    keys.shred(&admin(), &tenant("acme")).await.unwrap();
    tokio::time::advance(mcp_core::key::DataKeysConfig::default().ttl).await;
    assert!(elsewhere.open(&scope("acme"), TEXT.row("1"), &sealed).await.is_err());
}

#[tokio::test]
async fn processes_that_need_the_first_key_at_once_get_one() {
    let (store, vault) = (Arc::new(MemoryDataKeyStore::default()), MoodyVault::new());
    let processes: Vec<_> = (0..4).map(|_| Arc::new(keys_on(store.clone(), vault.clone()))).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32_u8 {
        let keys = processes[usize::from(n) % 4].clone();
        tasks.spawn(async move { (n, keys.seal(&scope("acme"), TEXT.row("1"), &[n]).await.unwrap()) });
    }
    for (n, sealed) in tasks.join_all().await {
        for keys in &processes {
            opens(keys, "acme", &sealed, &[n]).await;
        }
    }
    assert_eq!(store.all(&admin(), &tenant("acme")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn unsealing_is_recorded_once_a_key_and_process_and_each_revealing() {
    let (store, vault) = (Arc::new(RecordingStore::default()), MoodyVault::new());
    let first = keys_on(store.clone(), vault.clone());
    let acme = scope("acme");
    let sealed = first.seal(&acme, TEXT.row("1"), b"private").await.unwrap();
    assert!(store.take().is_empty(), "who makes a key unseals nothing");
    let keys = keys_on(store.clone(), vault);
    for _ in 0..3 {
        opens(&keys, "acme", &sealed, b"private").await;
    }
    let actor = acme.principal().id.to_string();
    assert_eq!(store.take(), [("secret.unseal".to_owned(), "data_key/1".to_owned(), actor.clone())]);
    for _ in 0..2 {
        keys.reveal(&acme, TEXT.row("1"), &sealed).await.unwrap();
    }
    let revealed = ("secret.reveal".to_owned(), "note.text/1".to_owned(), actor);
    assert_eq!(store.take(), [revealed.clone(), revealed]);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_unsealed() {
    let (store, vault) = (Arc::new(RecordingStore::default()), MoodyVault::new());
    let sealed =
        keys_on(store.clone(), vault.clone()).seal(&scope("acme"), TEXT.row("1"), b"x").await.unwrap();
    let keys = keys_on(store.clone(), vault.clone());
    *store.full.lock().unwrap() = true;
    assert!(keys.open(&scope("acme"), TEXT.row("1"), &sealed).await.is_err());
    *store.full.lock().unwrap() = false;
    let keys = keys_on(store.clone(), vault);
    opens(&keys, "acme", &sealed, b"x").await;
    *store.full.lock().unwrap() = true;
    assert!(keys.reveal(&scope("acme"), TEXT.row("1"), &sealed).await.is_err());
    opens(&keys, "acme", &sealed, b"x").await;
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Seal(u8),
    Rotate(u8),
    Rewrap,
    RotateVault,
    Restart,
    Shred(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_u8).prop_map(Step::Seal),
        2 => (0..3_u8).prop_map(Step::Rotate),
        1 => Just(Step::Rewrap),
        1 => Just(Step::RotateVault),
        1 => Just(Step::Restart),
        1 => (0..3_u8).prop_map(Step::Shred),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done, what was sealed opens for its tenant and no other, until that tenant is shredded.
    #[test]
    fn any_sequence_keeps_what_was_sealed_until_it_is_shredded(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, vault, mut keys) = fresh();
            let (mut sealed, mut gone) = (Vec::<(u8, Sealed)>::new(), [false; 3]);
            let id = |n: u8| format!("t{n}");
            for step in steps {
                match step {
                    Step::Seal(n) => {
                        let value = keys.seal(&scope(&id(n)), TEXT.row("1"), &[n]).await;
                        prop_assert_eq!(value.is_err(), gone[usize::from(n)]);
                        sealed.extend(value.ok().map(|value| (n, value)));
                    }
                    Step::Rotate(n) => {
                        let rotated = keys.rotate(&admin(), &tenant(&id(n))).await;
                        prop_assert_eq!(rotated.is_err(), gone[usize::from(n)]);
                    }
                    Step::Rewrap => {
                        let batch = keys.rewrap_batch(&admin(), None, 100).await.unwrap();
                        prop_assert!(batch.failed.is_empty());
                        vault.retire_older();
                    }
                    // The vault keeps one older key: whoever rotates has wrapped anew.
                    Step::RotateVault => {
                        keys.rewrap_batch(&admin(), None, 100).await.unwrap();
                        vault.rotate();
                    }
                    Step::Restart => keys = keys_on(store.clone(), vault.clone()),
                    Step::Shred(n) => {
                        keys.shred(&admin(), &tenant(&id(n))).await.unwrap();
                        gone[usize::from(n)] = true;
                    }
                }
            }
            for (n, value) in &sealed {
                for reader in 0..3 {
                    let opened = keys.open(&scope(&id(reader)), TEXT.row("1"), value).await;
                    prop_assert_eq!(opened.is_ok(), reader == *n && !gone[usize::from(*n)]);
                }
            }
            Ok(())
        })?;
    }
}
