//! The suites on SQLite, and what only a database can show: that a change, its event and its audit record
//! are one, and outlive the process.

#![cfg(feature = "sqlite")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use mcp_core::{
    ErrorKind, PlatformScope,
    clock::SystemClock,
    conformance::{Cut, cancel_at},
    key::MasterKey,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use mcp_tenancy::{
    SQLITE_MIGRATIONS, Tenancy, TenancyDeps,
    certificate::{CertificateStore, SqliteCertificateStore},
    conformance::{
        self, CERTIFICATE_STORE, Check, KEY_STORE, OPERATOR_KEY_STORE, REFRESH_STORE, SIGNING_KEY_STORE,
        TENANT_STORE,
    },
    key::{KeyStore, NewApiKey, SqliteKeyStore},
    operator::{NewOperatorKey, OperatorKeyStore, SqliteOperatorKeyStore},
    refresh::{RefreshStore, SqliteRefreshStore, TokenRequest},
    tenant::{Name, NewTenant, SqliteTenantStore, TenantStore, TierModes},
    token::{KeyState, Rotation, SigningKeyStore, SqliteSigningKeyStore, TokenConfig},
};
use sqlx::Row as _;
use tempfile::TempDir;

async fn open(directory: &Path) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(SystemClock)).await.unwrap()
}

/// Runs a suite, each check on a kernel of its own.
async fn kept<T: ?Sized>(suite: &[Check<T>], store: impl Fn(SqliteKernel) -> Arc<T>) {
    let directories = Mutex::new(Vec::<TempDir>::new());
    let fresh = async || {
        let directory = tempfile::tempdir().unwrap();
        let kernel = open(directory.path()).await;
        directories.lock().unwrap().push(directory);
        store(kernel)
    };
    let report = conformance::run(suite, fresh).await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
}

#[tokio::test]
async fn tenant_store_in_mode_database() {
    let modes = TierModes::all(IsolationMode::Database);
    kept(TENANT_STORE, |kernel| {
        Arc::new(SqliteTenantStore::new(kernel, modes.clone())) as Arc<dyn TenantStore>
    })
    .await;
}

#[tokio::test]
async fn tenant_store_in_mode_row() {
    let modes = TierModes::all(IsolationMode::Row);
    kept(TENANT_STORE, |kernel| {
        Arc::new(SqliteTenantStore::new(kernel, modes.clone())) as Arc<dyn TenantStore>
    })
    .await;
}

#[tokio::test]
async fn key_store() {
    kept(KEY_STORE, |kernel| Arc::new(SqliteKeyStore::new(kernel)) as Arc<dyn KeyStore>).await;
}

#[tokio::test]
async fn operator_key_store() {
    kept(OPERATOR_KEY_STORE, |kernel| {
        Arc::new(SqliteOperatorKeyStore::new(kernel)) as Arc<dyn OperatorKeyStore>
    })
    .await;
}

#[tokio::test]
async fn signing_key_store() {
    kept(SIGNING_KEY_STORE, |kernel| {
        Arc::new(SqliteSigningKeyStore::new(kernel)) as Arc<dyn SigningKeyStore>
    })
    .await;
}

#[tokio::test]
async fn certificate_store() {
    kept(CERTIFICATE_STORE, |kernel| {
        Arc::new(SqliteCertificateStore::new(kernel)) as Arc<dyn CertificateStore>
    })
    .await;
}

#[tokio::test]
async fn refresh_store() {
    kept(REFRESH_STORE, |kernel| Arc::new(SqliteRefreshStore::new(kernel)) as Arc<dyn RefreshStore>).await;
}

fn admin() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

async fn tenancy(kernel: &SqliteKernel, master: MasterKey) -> Tenancy {
    let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
    let deps = TenancyDeps::sqlite(kernel, TierModes::all(IsolationMode::Database), master, tokens);
    Tenancy::open(deps).await.unwrap()
}

async fn audited(kernel: &SqliteKernel) -> Vec<(String, String)> {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    let rows =
        sqlx::query("SELECT action, resource FROM audit ORDER BY seq").fetch_all(read.conn()).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn emitted(kernel: &SqliteKernel) -> i64 {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(read.conn()).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let master_file = directory.path().join("master.key");
    let master = || MasterKey::load_or_create(&master_file).unwrap();
    let principal = Principal {
        id: PrincipalId::parse("user-1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["tools:call"]).unwrap(),
    };

    let kernel = open(directory.path()).await;
    let before = tenancy(&kernel, master()).await;
    let tenant = before.create_tenant(&admin(), NewTenant::new(acme(), "Acme")).await.unwrap();
    let new = NewApiKey::service(acme(), "ci", "robot", Permissions::default()).unwrap();
    let key = before.create_key(&admin(), new).await.unwrap();
    let token = before.issue_token(&admin(), &acme(), &principal, Duration::from_secs(60)).await.unwrap();
    before.revoke_key(&admin(), &acme(), &key.key.id).await.unwrap();
    before.shutdown().await;
    drop(before);
    kernel.close().await;

    let kernel = open(directory.path()).await;
    let after = tenancy(&kernel, master()).await;
    assert_eq!(after.tenant(&admin(), &acme()).await.unwrap(), tenant);
    let keys = after.keys(&admin(), &acme(), None, 10).await.unwrap().items;
    assert!(keys[0].revoked_at.is_some() && keys[0].id == key.key.id);
    let request =
        http::Request::builder().header("authorization", format!("Bearer {}", token.token.expose()));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let identity = after.authenticators().authenticate(&head).await.unwrap();
    assert_eq!((identity.tenant, identity.principal.id.as_str()), (acme(), "user-1"));

    let actions: Vec<_> = audited(&kernel).await.into_iter().map(|(action, _)| action).collect();
    let expected =
        ["tenant.create", "key.create", "data_key.create", "signing_key.create", "token.issue", "key.revoke"];
    assert_eq!(actions, expected);
    assert_eq!(emitted(&kernel).await, 4);
    after.shutdown().await;
    kernel.close().await;
}

/// The command line works on the server's files while the server runs.
#[tokio::test]
async fn a_suspension_by_another_process_closes_what_is_open_here() {
    let directory = tempfile::tempdir().unwrap();
    let master = MasterKey::ephemeral().unwrap();
    let (server, cli) = (open(directory.path()).await, open(directory.path()).await);
    let server = tenancy(&server, master.clone()).await;
    let cli = tenancy(&cli, master).await;
    cli.create_tenant(&admin(), NewTenant::new(acme(), "Acme")).await.unwrap();
    let known = server.directory().resolve(&acme()).await.unwrap().unwrap();
    assert!(known.tenant().is_active());
    cli.suspend_tenant(&admin(), &acme()).await.unwrap();
    // The poll interval is 300 ms; the rest is for machines that are busy.
    tokio::time::timeout(Duration::from_secs(10), known.closed().cancelled()).await.unwrap();
    assert!(!server.directory().get(&acme()).unwrap().unwrap().tenant().is_active());
}

#[tokio::test]
async fn a_refused_change_leaves_no_event_and_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let modes =
        TierModes::all(IsolationMode::Database).with(Name::parse("small").unwrap(), IsolationMode::Row);
    let store = SqliteTenantStore::new(kernel.clone(), modes);
    let created = store.create(&admin(), NewTenant::new(acme(), "Acme")).await.unwrap();
    let written = (audited(&kernel).await, emitted(&kernel).await);

    let taken = store.create(&admin(), NewTenant::new(acme(), "Acme")).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let stale = store.update(&admin(), &acme(), created.profile.clone(), 7).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    store.resume(&admin(), &acme()).await.unwrap();
    let mut moved = created.profile.clone();
    moved.tier = Name::parse("small").unwrap();
    let moved = store.update(&admin(), &acme(), moved, 1).await.unwrap_err();
    assert_eq!(moved.kind(), ErrorKind::Unsupported, "{moved}");
    assert_eq!((audited(&kernel).await, emitted(&kernel).await), written);
    assert_eq!(store.get(&admin(), &acme()).await.unwrap(), Some(created));
    let next = store.suspend(&admin(), &acme()).await.unwrap();
    assert_eq!(next.revision, 2, "a refused change took a revision");
}

#[tokio::test]
async fn a_created_tenant_has_a_place_and_can_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let modes =
        TierModes::all(IsolationMode::Database).with(Name::parse("small").unwrap(), IsolationMode::Row);
    let store = SqliteTenantStore::new(kernel.clone(), modes);
    let mut beta = NewTenant::new(TenantId::parse("beta").unwrap(), "Beta");
    beta.profile.tier = Name::parse("small").unwrap();
    for (new, mode) in [(NewTenant::new(acme(), "Acme"), IsolationMode::Database), (beta, IsolationMode::Row)]
    {
        let tenant = store.create(&admin(), new).await.unwrap();
        let placement = kernel.placement(&admin(), &tenant.id).await.unwrap();
        assert_eq!((placement.mode, placement.ready), (mode, true));
        assert_eq!(placement.schema.as_str(), tenant.schema.as_str());
        let principal = Principal {
            id: PrincipalId::parse("u").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        };
        let scope = mcp_core::Scope::new(tenant.id, Arc::new(principal));
        kernel.begin(&scope).await.unwrap().commit().await.unwrap();
    }
}

/// A creation that is dropped at any of its awaits has happened whole or not at all, and can be tried again.
#[tokio::test]
async fn a_create_cancelled_anywhere_is_whole_or_nothing() {
    for polls in 1..200 {
        let directory = tempfile::tempdir().unwrap();
        let kernel = open(directory.path()).await;
        let store = SqliteTenantStore::new(kernel.clone(), TierModes::all(IsolationMode::Database));
        let mut new = NewTenant::new(acme(), "Acme");
        new.idempotency_key = Some("once".to_owned());
        let cut = cancel_at(polls, store.create(&admin(), new.clone())).await;

        let there = store.get(&admin(), &acme()).await.unwrap();
        let records = audited(&kernel).await.len();
        // A commit that had begun may still be on its way: then it arrives whole.
        assert!(records <= 1 && (there.is_none() || records == 1), "{there:?}, {records} records");
        let made = store.create(&admin(), new).await.unwrap();
        assert_eq!((made.version, audited(&kernel).await.len(), emitted(&kernel).await), (1, 1, 1));
        assert!(kernel.placement(&admin(), &acme()).await.unwrap().ready);
        kernel.close().await;
        if matches!(cut, Cut::Completed(_)) {
            assert!(polls > 3, "there was nothing to cancel");
            return;
        }
    }
    panic!("no run was long enough to finish");
}

#[tokio::test]
async fn grants_outlive_the_process_and_nothing_of_their_secrets_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let master = MasterKey::ephemeral().unwrap();
    let kernel = open(directory.path()).await;
    let before = tenancy(&kernel, master.clone()).await;
    before.create_tenant(&admin(), NewTenant::new(acme(), "Acme")).await.unwrap();
    let new = NewApiKey::service(acme(), "ci", "robot", Permissions::parse(["tools:call"]).unwrap()).unwrap();
    let key = before.create_key(&admin(), new).await.unwrap();
    let rotated = before.rotate_key(&admin(), &acme(), &key.key.id, Duration::from_secs(60)).await.unwrap();
    let request =
        http::Request::builder().header("authorization", format!("Bearer {}", rotated.text.expose()));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let identity = before.authenticators().authenticate(&head).await.unwrap();
    let first = before.grant_for_key(&admin(), &identity, TokenRequest::default()).await.unwrap();
    before.rotate_signing_key(&admin(), &acme(), Rotation::default()).await.unwrap();
    before.shutdown().await;
    drop(before);
    kernel.close().await;

    let kernel = open(directory.path()).await;
    let after = tenancy(&kernel, master).await;
    let next =
        after.grant_for_refresh_token(&admin(), &first.refresh_token, TokenRequest::default()).await.unwrap();
    let last =
        after.grant_for_refresh_token(&admin(), &next.refresh_token, TokenRequest::default()).await.unwrap();
    let stolen = after.grant_for_refresh_token(&admin(), &first.refresh_token, TokenRequest::default()).await;
    assert_eq!(stolen.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let keys = after.keys(&admin(), &acme(), None, 10).await.unwrap().items;
    assert!(keys[0].last_used_at.is_some() && keys[0].rotated_at.is_some());
    let signing = after.signing_keys(&admin(), &acme()).await.unwrap();
    assert_eq!(signing.iter().map(|key| key.state).collect::<Vec<_>>(), [KeyState::Next, KeyState::Active]);
    after.shutdown().await;
    let actions: Vec<_> = audited(&kernel).await.into_iter().map(|(action, _)| action).collect();
    let expected = [
        "tenant.create",
        "key.create",
        "key.rotate",
        "data_key.create",
        "signing_key.create",
        "token.issue",
        "refresh_family.create",
        "signing_key.rotate",
        "token.issue",
        "token.issue",
        "refresh_family.revoke",
    ];
    assert_eq!(actions, expected);
    kernel.close().await;

    let secrets = [&first.refresh_token, &next.refresh_token, &last.refresh_token, &key.text, &rotated.text];
    for file in std::fs::read_dir(directory.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        for secret in secrets {
            let secret = secret.expose().splitn(3, '_').nth(2).unwrap();
            let raw =
                base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, secret).unwrap();
            let found = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found(secret.as_bytes()) && !found(&raw[..32]), "{file:?}");
        }
    }
}

#[tokio::test]
async fn an_operator_key_leaves_event_and_record_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let tenancy = tenancy(&kernel, MasterKey::ephemeral().unwrap()).await;
    let new = NewOperatorKey::new("laptop", PrincipalId::parse("operator:ada").unwrap());
    let issued = tenancy.create_operator_key(&admin(), new).await.unwrap();
    for _ in 0..2 {
        tenancy.revoke_operator_key(&admin(), &issued.key.id).await.unwrap();
    }
    let resource = format!("operator_key/{}", issued.key.id);
    let expected =
        ["operator_key.create", "operator_key.revoke"].map(|action| (action.to_owned(), resource.clone()));
    assert_eq!(audited(&kernel).await, expected);
    assert_eq!(emitted(&kernel).await, 2);
    tenancy.shutdown().await;
    kernel.close().await;
    let secret = issued.text.expose().splitn(3, '_').nth(2).unwrap().as_bytes();
    for file in std::fs::read_dir(directory.path()).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{file:?}");
    }
}
