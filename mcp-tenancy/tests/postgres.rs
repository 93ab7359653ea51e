//! The suites on PostgreSQL in every isolation mode, and what only a database can show.
//!
//! They need a server: `cargo xtask test` starts one and sets `DATABASE_URL`. Without it they fail.

#![cfg(feature = "postgres")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mcp_core::{
    PlatformScope, Scope,
    clock::SystemClock,
    conformance::{Cut, PgTestDatabase, cancel_at},
    key::MasterKey,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    sql::{
        IsolationMode,
        postgres::{PgKernel, query_as, query_scalar},
    },
};
use mcp_tenancy::{
    POSTGRES_MIGRATIONS, Tenancy, TenancyDeps,
    certificate::{CertificateStore, PostgresCertificateStore},
    conformance::{
        self, CERTIFICATE_STORE, Check, KEY_STORE, OPERATOR_KEY_STORE, REFRESH_STORE, SIGNING_KEY_STORE,
        TENANT_STORE,
    },
    key::{KeyStore, NewApiKey, PostgresKeyStore},
    operator::{OperatorKeyStore, PostgresOperatorKeyStore},
    refresh::{PostgresRefreshStore, RefreshStore},
    tenant::{NewTenant, PostgresTenantStore, TenantStore, TierModes},
    token::{PostgresSigningKeyStore, SigningKeyStore, TokenConfig},
};

async fn database() -> (PgTestDatabase, PgKernel) {
    let database = PgTestDatabase::create().await.unwrap_or_else(|error| panic!("{}", error.report()));
    PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
    let kernel = connect(&database).await;
    (database, kernel)
}

async fn connect(database: &PgTestDatabase) -> PgKernel {
    PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], Arc::new(SystemClock)).await.unwrap()
}

/// Runs a suite, each check on a database of its own.
async fn kept<T: ?Sized>(suite: &[Check<T>], store: impl Fn(PgKernel) -> Arc<T>) {
    let used = Mutex::new(Vec::new());
    let fresh = async || {
        let (database, kernel) = database().await;
        used.lock().unwrap().push((database, kernel.clone()));
        store(kernel)
    };
    let report = conformance::run(suite, fresh).await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
    for (database, kernel) in used.into_inner().unwrap() {
        kernel.close().await;
        database.destroy().await.unwrap();
    }
}

async fn tenant_store_in(mode: IsolationMode) {
    let store =
        |kernel| Arc::new(PostgresTenantStore::new(kernel, TierModes::all(mode))) as Arc<dyn TenantStore>;
    kept(TENANT_STORE, store).await;
}

#[tokio::test]
async fn tenant_store_in_mode_row() {
    tenant_store_in(IsolationMode::Row).await;
}

#[tokio::test]
async fn tenant_store_in_mode_schema() {
    tenant_store_in(IsolationMode::Schema).await;
}

#[tokio::test]
async fn tenant_store_in_mode_database() {
    tenant_store_in(IsolationMode::Database).await;
}

#[tokio::test]
async fn key_store() {
    kept(KEY_STORE, |kernel| Arc::new(PostgresKeyStore::new(kernel)) as Arc<dyn KeyStore>).await;
}

#[tokio::test]
async fn operator_key_store() {
    kept(OPERATOR_KEY_STORE, |kernel| {
        Arc::new(PostgresOperatorKeyStore::new(kernel)) as Arc<dyn OperatorKeyStore>
    })
    .await;
}

#[tokio::test]
async fn signing_key_store() {
    kept(SIGNING_KEY_STORE, |kernel| {
        Arc::new(PostgresSigningKeyStore::new(kernel)) as Arc<dyn SigningKeyStore>
    })
    .await;
}

#[tokio::test]
async fn certificate_store() {
    kept(CERTIFICATE_STORE, |kernel| {
        Arc::new(PostgresCertificateStore::new(kernel)) as Arc<dyn CertificateStore>
    })
    .await;
}

#[tokio::test]
async fn refresh_store() {
    kept(REFRESH_STORE, |kernel| Arc::new(PostgresRefreshStore::new(kernel)) as Arc<dyn RefreshStore>).await;
}

fn admin() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn principal() -> Principal {
    Principal {
        id: PrincipalId::parse("user-1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["tools:call"]).unwrap(),
    }
}

async fn tenancy(kernel: &PgKernel, master: MasterKey) -> Tenancy {
    let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
    let deps = TenancyDeps::postgres(kernel, TierModes::all(IsolationMode::Schema), master, tokens);
    Tenancy::open(deps).await.unwrap()
}

async fn audited(kernel: &PgKernel) -> Vec<String> {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    let rows =
        query_as::<(String,)>("SELECT action FROM audit ORDER BY time, seq").fetch_all(read.conn()).await;
    rows.unwrap().into_iter().map(|(action,)| action).collect()
}

async fn emitted(kernel: &PgKernel) -> i64 {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    query_scalar("SELECT count(*) FROM outbox").fetch_one(read.conn()).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_for_another_replica() {
    let (database, kernel) = database().await;
    let master = MasterKey::ephemeral().unwrap();
    let one = tenancy(&kernel, master.clone()).await;
    let tenant = one.create_tenant(&admin(), NewTenant::new(acme(), "Acme")).await.unwrap();
    let new = NewApiKey::service(acme(), "ci", "robot", Permissions::default()).unwrap();
    let key = one.create_key(&admin(), new).await.unwrap();
    let token = one.issue_token(&admin(), &acme(), &principal(), Duration::from_secs(60)).await.unwrap();

    let other_kernel = connect(&database).await;
    let two = tenancy(&other_kernel, master).await;
    assert_eq!(two.tenant(&admin(), &acme()).await.unwrap(), tenant);
    for credential in [key.text.expose(), token.token.expose()] {
        let request = http::Request::builder().header("authorization", format!("Bearer {credential}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(two.authenticators().authenticate(&head).await.unwrap().tenant, acme());
    }
    let scope = Scope::new(acme(), Arc::new(principal()));
    other_kernel.begin(&scope).await.unwrap().commit().await.unwrap();

    let known = two.directory().get(&acme()).unwrap().unwrap();
    one.suspend_tenant(&admin(), &acme()).await.unwrap();
    // The poll interval is 300 ms; the rest is for machines that are busy.
    tokio::time::timeout(Duration::from_secs(10), known.closed().cancelled()).await.unwrap();

    let mut expected = [
        "tenant.create",
        "key.create",
        "data_key.create",
        "signing_key.create",
        "token.issue",
        "tenant.suspend",
    ];
    let mut actions = audited(&kernel).await;
    expected.sort_unstable();
    actions.sort_unstable();
    assert_eq!(actions, expected);
    assert_eq!(emitted(&kernel).await, 4);
    for tenancy in [one, two] {
        tenancy.shutdown().await;
    }
    for kernel in [kernel, other_kernel] {
        kernel.close().await;
    }
    database.destroy().await.unwrap();
}

/// A creation that is dropped at any of its awaits has happened whole or not at all, can be tried again, and
/// leaves no transaction open.
#[tokio::test]
async fn a_create_cancelled_anywhere_is_whole_or_nothing() {
    let (database, kernel) = database().await;
    let store = PostgresTenantStore::new(kernel.clone(), TierModes::all(IsolationMode::Row));
    let tenant = |name: &str| {
        let mut new = NewTenant::new(TenantId::parse(name).unwrap(), "T");
        new.idempotency_key = Some(format!("once-{name}"));
        new
    };
    // The first time connects, and counts for nothing.
    store.create(&admin(), tenant("first")).await.unwrap();
    let all = polls_of(store.create(&admin(), tenant("whole"))).await;
    // Most polls are those of logging in as the owner, which computes for long and yields each time.
    let middle = (40..all.saturating_sub(60)).step_by((all / 40).max(1));
    let places = (1..40).chain(middle).chain(all.saturating_sub(60).max(40)..2 * all + 100);
    for (run, polls) in places.enumerate() {
        let new = tenant(&format!("t{run}"));
        let id = new.id.clone();
        let (before, before_events) = (audited(&kernel).await.len(), emitted(&kernel).await);
        let cut = cancel_at(polls, store.create(&admin(), new.clone())).await;

        let made = store.create(&admin(), new).await.unwrap();
        assert_eq!(made.version, 1);
        assert_eq!(audited(&kernel).await.len(), before + 1, "records after {polls} polls");
        assert_eq!(emitted(&kernel).await, before_events + 1, "events after {polls} polls");
        assert!(kernel.placement(&admin(), &id).await.unwrap().ready);
        if matches!(cut, Cut::Completed(_)) && polls + 60 > all {
            assert!(run > 40, "there was nothing to cancel");
            mcp_core::conformance::eventually("a transaction is left open", || async {
                Ok(database.open_transactions().await? == 0)
            })
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
            kernel.close().await;
            database.destroy().await.unwrap();
            return;
        }
    }
    panic!("no run was long enough to finish");
}

/// How often a future is polled until it is ready.
async fn polls_of<T>(work: impl Future<Output = mcp_core::Result<T>>) -> usize {
    let (mut work, mut polls) = (std::pin::pin!(work), 0);
    let done = std::future::poll_fn(|cx| {
        polls += 1;
        work.as_mut().poll(cx)
    });
    done.await.unwrap();
    polls
}
