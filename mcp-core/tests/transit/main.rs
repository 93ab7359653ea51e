//! HashiCorp Vault's transit engine, by a server that speaks its wire: the suite, and everything it may do wrong.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

mod server;

use std::{sync::Arc, time::Duration};

use mcp_core::{
    ErrorKind,
    clock::SystemClock,
    conformance::{VaultHarness, platform, run_key_vault, scope_of},
    key::{
        Column, DataKeys, DataKeysConfig, KeyPlace, KeyVault, MasterKey, MasterKeyVault, MemoryDataKeyStore,
        Secret, TransitConfig, TransitVault, VaultState, VaultSuccession,
    },
    net::{Addresses, HttpClient, HttpConfig},
    scope::TenantId,
};

use server::{FakeVault, Mood, NAMESPACE, TOKEN};

const TEXT: Column = Column::new("note", "text");

fn client() -> HttpClient {
    let config = HttpConfig {
        addresses: Addresses::Any,
        timeout: Duration::from_millis(500),
        body_limit: 64 * 1024,
        ..HttpConfig::default()
    };
    HttpClient::new(config).unwrap()
}

fn config(vault: &FakeVault) -> TransitConfig {
    let mut config = TransitConfig::new(vault.address(), "platform", Secret::new(TOKEN.to_owned()));
    config.namespace = Some(NAMESPACE.to_owned());
    config
}

fn connect(vault: &FakeVault) -> TransitVault {
    TransitVault::new(config(vault), client()).unwrap()
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

async fn suite(derived: bool) {
    let (vault, other) = (FakeVault::start(derived).await, FakeVault::start(derived).await);
    let (rotated, of_rotated) = (vault.clone(), Arc::new(connect(&vault)));
    let harness = VaultHarness {
        vault: Arc::new(connect(&vault)),
        rotate: Box::new(move || {
            rotated.rotate();
            let of_rotated = of_rotated.clone();
            Box::pin(async { Ok(of_rotated as Arc<dyn KeyVault>) })
        }),
        stranger: Arc::new(connect(&other)),
    };
    assert_eq!(run_key_vault(&harness).await.failures(), None);
}

#[tokio::test]
async fn transit_is_a_vault_with_a_plain_key() {
    suite(false).await;
}

#[tokio::test]
async fn transit_is_a_vault_with_a_derived_key() {
    suite(true).await;
}

#[tokio::test]
async fn every_failure_is_an_error_that_says_what_to_do_and_no_secret() {
    let vault = FakeVault::start(false).await;
    let (transit, tenant) = (connect(&vault), tenant());
    let place = KeyPlace { tenant: &tenant, version: 1 };
    let key = Secret::new([9; 32]);
    let wrapped = transit.wrap_key(place, &key).await.unwrap();
    for (mood, kind, says) in [
        (Mood::Sealed, ErrorKind::Unavailable, "sealed"),
        (Mood::Slow, ErrorKind::Unavailable, "did not answer"),
        (Mood::HangsUp, ErrorKind::Unavailable, ""),
        (Mood::Forbids, ErrorKind::PermissionDenied, "needs `update`"),
        (Mood::NoSuchKey, ErrorKind::NotFound, "no such mount or transit key"),
        (Mood::Html, ErrorKind::Upstream, "no answer of its API"),
        (Mood::OtherJson, ErrorKind::Upstream, "no answer of its API"),
        (Mood::Oversized, ErrorKind::Upstream, ""),
        (Mood::Redirects, ErrorKind::Upstream, "status"),
        (Mood::ShortPlaintext, ErrorKind::Upstream, "another length"),
        (Mood::LongPlaintext, ErrorKind::Upstream, "another length"),
        (Mood::NoBase64, ErrorKind::Upstream, "no base64"),
        (Mood::AnotherPlace, ErrorKind::Corrupted, "another tenant or version"),
        (Mood::TooOld, ErrorKind::Corrupted, "cut back"),
    ] {
        vault.becomes(mood);
        let error = transit.unwrap_key(place, &wrapped).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{mood:?}: {error:?}");
        assert!(error.message().contains(says), "{mood:?}: {error}");
        for secret in [TOKEN, std::str::from_utf8(&wrapped.bytes).unwrap(), "acme"] {
            assert!(!error.report().contains(secret), "{mood:?}: {}", error.report());
        }
    }
    for mood in [Mood::Html, Mood::WrongCiphertext, Mood::OtherJson] {
        vault.becomes(mood);
        assert_eq!(transit.wrap_key(place, &key).await.unwrap_err().kind(), ErrorKind::Upstream, "{mood:?}");
        assert_eq!(
            transit.rewrap_key(place, &wrapped).await.unwrap_err().kind(),
            ErrorKind::Upstream,
            "{mood:?}"
        );
    }
    vault.becomes(Mood::Html);
    assert_eq!(transit.current_key().await.unwrap_err().kind(), ErrorKind::Upstream);
    vault.becomes(Mood::Well);
    assert!(transit.unwrap_key(place, &wrapped).await.unwrap().ct_eq(key.expose()));
}

/// What is sent for a data key shows its tenant to Vault alone, in the context.
#[tokio::test]
async fn the_wire_is_vaults_own() {
    let vault = FakeVault::start(false).await;
    let (transit, tenant) = (connect(&vault), tenant());
    let place = KeyPlace { tenant: &tenant, version: 1 };
    let wrapped = transit.wrap_key(place, &Secret::new([9; 32])).await.unwrap();
    assert!(wrapped.bytes.starts_with(b"vault:v1:"));
    assert_eq!(wrapped.wrapping_key, "transit/platform:v1");
    transit.unwrap_key(place, &wrapped).await.unwrap();
    vault.rotate();
    transit.rewrap_key(place, &wrapped).await.unwrap().unwrap();
    assert_eq!(transit.current_key().await.unwrap(), "transit/platform:v2");
    let seen = vault.seen();
    let expected = [
        "POST /v1/transit/encrypt/platform",
        "POST /v1/transit/decrypt/platform",
        "POST /v1/transit/rewrap/platform",
        "GET /v1/transit/keys/platform",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_token_that_ended_is_replaced_while_the_platform_runs() {
    let vault = FakeVault::start(false).await;
    let (transit, tenant) = (connect(&vault), tenant());
    let place = KeyPlace { tenant: &tenant, version: 1 };
    transit.wrap_key(place, &Secret::new([9; 32])).await.unwrap();
    vault.renew_token("hvs.renewed");
    let error = transit.wrap_key(place, &Secret::new([9; 32])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(transit.set_token(Secret::new("with\nline".to_owned())).is_err());
    transit.set_token(Secret::new("hvs.renewed".to_owned())).unwrap();
    transit.wrap_key(place, &Secret::new([9; 32])).await.unwrap();
    assert!(!format!("{transit:?}").contains("hvs."));
}

#[tokio::test]
async fn settings_that_lead_elsewhere_are_refused_and_named() {
    let token = || Secret::new("t".to_owned());
    let with = |address: &str, mount: &str, key: &str| TransitConfig {
        mount: mount.to_owned(),
        ..TransitConfig::new(address, key, token())
    };
    for (config, names) in [
        (with("vault:8200", "transit", "k"), "address"),
        (with("ftp://vault", "transit", "k"), "address"),
        (with("https://user:pw@vault", "transit", "k"), "address"),
        (with("https://vault/v1/sys", "transit", "k"), "address"),
        (with("https://vault?x=1", "transit", "k"), "address"),
        (with("https://vault", "../sys", "k"), "mount"),
        (with("https://vault", "", "k"), "mount"),
        (with("https://vault", "a//b", "k"), "mount"),
        (with("https://vault", "transit", "../../sys/seal"), "key"),
        (with("https://vault", "transit", "k?x"), "key"),
        (with("https://vault", "transit", ".."), "key"),
        (TransitConfig { namespace: Some("a\nb".into()), ..with("https://vault", "t", "k") }, "namespace"),
        (TransitConfig { token: Secret::new(String::new()), ..with("https://vault", "t", "k") }, "token"),
    ] {
        let error = TransitVault::new(config, client()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(&format!("`{names}`")), "{error} does not name `{names}`");
    }
    assert!(TransitVault::new(with("https://vault:8200/", "team/transit", "platform.v1"), client()).is_ok());
}

#[tokio::test]
async fn data_keys_live_through_rotation_and_outage_of_vault() {
    let vault = FakeVault::start(false).await;
    let store = Arc::new(MemoryDataKeyStore::default());
    let process = || {
        DataKeys::new(
            store.clone(),
            Arc::new(connect(&vault)),
            Arc::new(SystemClock),
            DataKeysConfig::default(),
        )
    };
    let (keys, acme, operator) = (process(), scope_of("acme").unwrap(), platform().unwrap());
    let sealed = keys.seal(&acme, TEXT.row("1"), b"private").await.unwrap();
    vault.rotate();
    let batch = keys.rewrap_batch(&operator, None, 10).await.unwrap();
    assert_eq!((batch.rewrapped, batch.failed.len()), (1, 0));
    assert_eq!(keys.wrapping_keys(&operator).await.unwrap(), [("transit/platform:v2".to_owned(), 1)]);
    vault.cut_back_to(2);
    assert_eq!(process().open(&acme, TEXT.row("1"), &sealed).await.unwrap().expose(), b"private");

    vault.becomes(Mood::Sealed);
    assert_eq!(keys.open(&acme, TEXT.row("1"), &sealed).await.unwrap().expose(), b"private", "it is open");
    let later = process();
    let error = later.open(&acme, TEXT.row("1"), &sealed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(later.health().vault, VaultState::Away);
    keys.shred(&operator, acme.tenant()).await.unwrap();
    assert_eq!(keys.open(&acme, TEXT.row("1"), &sealed).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn data_keys_move_from_a_master_key_to_vault() {
    let (vault, store) = (FakeVault::start(false).await, Arc::new(MemoryDataKeyStore::default()));
    let (master, transit): (Arc<dyn KeyVault>, Arc<dyn KeyVault>) =
        (Arc::new(MasterKeyVault::new(MasterKey::ephemeral().unwrap())), Arc::new(connect(&vault)));
    let process = |vault: Arc<dyn KeyVault>| {
        DataKeys::new(store.clone(), vault, Arc::new(SystemClock), DataKeysConfig::default())
    };
    let (acme, operator) = (scope_of("acme").unwrap(), platform().unwrap());
    let sealed = process(master.clone()).seal(&acme, TEXT.row("1"), b"private").await.unwrap();
    let both = process(Arc::new(VaultSuccession::new(transit.clone(), vec![master])));
    assert_eq!(both.open(&acme, TEXT.row("1"), &sealed).await.unwrap().expose(), b"private");
    assert_eq!(both.rewrap_batch(&operator, None, 10).await.unwrap().rewrapped, 1);
    let after = process(transit);
    assert_eq!(after.open(&acme, TEXT.row("1"), &sealed).await.unwrap().expose(), b"private");
}

/// A backup of the data keys from before they were shredded, after the wrapping key was rotated and cut back.
#[tokio::test]
async fn a_backup_is_unreadable_once_the_wrapping_key_of_its_time_is_gone() {
    let vault = FakeVault::start(false).await;
    let (transit, tenant) = (connect(&vault), tenant());
    let place = KeyPlace { tenant: &tenant, version: 1 };
    let backup = transit.wrap_key(place, &Secret::new([9; 32])).await.unwrap();
    vault.rotate();
    transit.unwrap_key(place, &backup).await.unwrap();
    vault.cut_back_to(2);
    assert_eq!(transit.unwrap_key(place, &backup).await.unwrap_err().kind(), ErrorKind::Corrupted);
}
