//! The suites of issuers and revocations on every backend, and proof that they bite.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    ErrorKind, PlatformScope, Result,
    clock::{ManualClock, Timestamp},
    scope::TenantId,
};
use mcp_tenancy::{
    conformance::{self, Check, ClockedRevocations, ISSUER_STORE, MOST_DENIED, REVOCATION_STORE},
    issuer::{Issuer, IssuerId, IssuerStore, IssuerWrite, MemoryIssuerStore, StoredIssuer},
    revocation::{DeniedToken, MemoryRevocationStore, Revocation, RevocationChange, RevocationStore},
    tenant::Page,
};

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000))
}

async fn kept<T: ?Sized>(suite: &[Check<T>], fresh: impl AsyncFn() -> Arc<T>) {
    let report = conformance::run(suite, fresh).await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
}

#[tokio::test]
async fn memory_issuer_store() {
    kept(ISSUER_STORE, async || Arc::new(MemoryIssuerStore::default()) as Arc<dyn IssuerStore>).await;
}

#[tokio::test]
async fn memory_revocation_store() {
    kept(REVOCATION_STORE, async || {
        let clock = clock();
        let store =
            Arc::new(MemoryRevocationStore::new(Arc::new(clock.clone())).with_max_denied(MOST_DENIED));
        Arc::new(ClockedRevocations { store, clock })
    })
    .await;
}

/// An issuer store that compares no versions, looks at no other issuer, forgets that it removed one, and lists the
/// first page for every cursor.
#[derive(Debug, Default)]
struct SloppyIssuers(MemoryIssuerStore);

#[async_trait]
impl IssuerStore for SloppyIssuers {
    async fn put(&self, scope: &PlatformScope, mut write: IssuerWrite) -> Result<Issuer> {
        write.expected_version = self.0.get(scope, &write.id).await?.map(|stored| stored.issuer.version);
        match self.0.put(scope, write.clone()).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                write.spec.url.push_str(write.id.as_str());
                self.0.put(scope, write).await
            }
            other => other,
        }
    }
    async fn remove(&self, scope: &PlatformScope, id: &IssuerId, _: i64) -> Result<Issuer> {
        let stored = self.0.get(scope, id).await?;
        self.0.remove(scope, id, stored.map_or(0, |stored| stored.issuer.version)).await
    }
    async fn get(&self, scope: &PlatformScope, id: &IssuerId) -> Result<Option<StoredIssuer>> {
        self.0.get(scope, id).await
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        _: Option<&TenantId>,
        _: Option<&str>,
        limit: u32,
    ) -> Result<Page<Issuer>> {
        self.0.list(scope, None, None, limit).await
    }
    async fn changes_since(
        &self,
        scope: &PlatformScope,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<StoredIssuer>> {
        let mut changes = self.0.changes_since(scope, revision, limit).await?;
        changes.retain(|stored| !stored.issuer.removed);
        changes.reverse();
        Ok(changes)
    }
}

#[tokio::test]
async fn a_sloppy_issuer_store_is_found_out() {
    let report =
        conformance::run(ISSUER_STORE, async || Arc::new(SloppyIssuers::default()) as Arc<dyn IssuerStore>);
    let report = report.await;
    for promise in [
        "no_lost_update",
        "one_meaning_a_url",
        "removed_is_gone",
        "no_skipped_change",
        "lists_are_complete_and_in_order",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// A revocation store where the last end of a denial wins, all tenants and issuers are one, and everything is pruned.
#[derive(Debug)]
struct SloppyRevocations(std::sync::Mutex<Vec<RevocationChange>>, ManualClock);

impl SloppyRevocations {
    fn push(&self, revocation: Revocation) -> RevocationChange {
        let mut changes = self.0.lock().unwrap();
        let same = |change: &RevocationChange| match (&change.revocation, &revocation) {
            (Revocation::Token(one), Revocation::Token(other)) => one.id == other.id,
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        };
        changes.retain(|change| !same(change));
        let revision = i64::try_from(changes.len()).unwrap() + 1;
        let change = RevocationChange { revocation, revision };
        changes.push(change.clone());
        change
    }
}

#[async_trait]
impl RevocationStore for SloppyRevocations {
    async fn deny(&self, _: &PlatformScope, token: DeniedToken) -> Result<RevocationChange> {
        Ok(self.push(Revocation::Token(token)))
    }
    async fn end_all(&self, _: &PlatformScope, tenant: &TenantId) -> Result<RevocationChange> {
        let issued_until = mcp_core::clock::Clock::now(&self.1);
        Ok(self.push(Revocation::All { tenant: tenant.clone(), issued_until }))
    }
    async fn changes_since(&self, _: &PlatformScope, revision: i64, _: u32) -> Result<Vec<RevocationChange>> {
        let changes = self.0.lock().unwrap();
        Ok(changes.iter().filter(|change| change.revision > revision).rev().cloned().collect())
    }
    async fn prune(&self, _: &PlatformScope, _: u32) -> Result<u64> {
        Ok(std::mem::take(&mut *self.0.lock().unwrap()).len() as u64)
    }
}

#[tokio::test]
async fn a_sloppy_revocation_store_is_found_out() {
    let report = conformance::run(REVOCATION_STORE, async || {
        let clock = clock();
        let store = Arc::new(SloppyRevocations(std::sync::Mutex::default(), clock.clone()));
        Arc::new(ClockedRevocations { store, clock })
    });
    let report = report.await;
    for (promise, _) in REVOCATION_STORE {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::{path::Path, sync::Mutex};

    use mcp_core::sql::sqlite::{SqliteConfig, SqliteKernel};
    use mcp_tenancy::{SQLITE_MIGRATIONS, issuer::SqliteIssuerStore, revocation::SqliteRevocationStore};
    use tempfile::TempDir;

    use super::*;

    async fn open(directory: &Path, clock: &ManualClock) -> SqliteKernel {
        let config = SqliteConfig::new(directory);
        SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(clock.clone())).await.unwrap()
    }

    #[tokio::test]
    async fn issuer_store() {
        let directories = Mutex::new(Vec::<TempDir>::new());
        kept(ISSUER_STORE, async || {
            let directory = tempfile::tempdir().unwrap();
            let kernel = open(directory.path(), &clock()).await;
            directories.lock().unwrap().push(directory);
            Arc::new(SqliteIssuerStore::new(kernel)) as Arc<dyn IssuerStore>
        })
        .await;
    }

    #[tokio::test]
    async fn revocation_store() {
        let directories = Mutex::new(Vec::<TempDir>::new());
        kept(REVOCATION_STORE, async || {
            let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
            let kernel = open(directory.path(), &clock).await;
            directories.lock().unwrap().push(directory);
            Arc::new(ClockedRevocations {
                store: Arc::new(SqliteRevocationStore::new(kernel).with_max_denied(MOST_DENIED)),
                clock,
            })
        })
        .await;
    }

    /// State, event and audit record are one, and no record or event holds the secret.
    #[tokio::test]
    async fn every_change_leaves_its_event_and_its_record() {
        use mcp_core::{key::MasterKey, key::Secret, scope::PrincipalId, sql::IsolationMode};
        use mcp_tenancy::{
            Tenancy, TenancyDeps,
            issuer::{IssuerSpec, NewIssuer, TokenCheck},
            tenant::{NewTenant, TierModes},
            token::TokenConfig,
        };
        use sqlx::Row as _;

        let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
        let kernel = open(directory.path(), &clock).await;
        let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
        let modes = TierModes::all(IsolationMode::Database);
        let deps = TenancyDeps::sqlite(&kernel, modes, MasterKey::ephemeral().unwrap(), tokens);
        let tenancy = Tenancy::open(deps).await.unwrap();
        let admin = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
        let acme = TenantId::parse("acme").unwrap();
        tenancy.create_tenant(&admin, NewTenant::new(acme.clone(), "Acme")).await.unwrap();

        let id = IssuerId::parse("opaque").unwrap();
        let mut spec = IssuerSpec::of_tenant(acme.clone(), "https://login.example", "https://a.example");
        spec.check = TokenCheck::introspection("platform");
        let new = NewIssuer {
            secret: Some(Secret::new("hunter2-hunter2".to_owned())),
            ..NewIssuer::new(id.clone(), spec)
        };
        let taken = tenancy.put_issuer(&admin, new.clone()).await.unwrap();
        assert_eq!(tenancy.put_issuer(&admin, new).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(tenancy.issuer(&admin, &id).await.unwrap(), taken);
        tenancy.remove_issuer(&admin, &id, 1).await.unwrap();
        let expires_at = mcp_core::clock::Clock::now(&clock).after(std::time::Duration::from_secs(60));
        let token =
            DeniedToken { tenant: acme.clone(), issuer: "i".to_owned(), id: "j".to_owned(), expires_at };
        for _ in 0..2 {
            tenancy.revoke_token(&admin, token.clone()).await.unwrap();
        }
        tenancy.end_tokens(&admin, &acme).await.unwrap();
        let nobody = TenantId::parse("nobody").unwrap();
        assert_eq!(tenancy.end_tokens(&admin, &nobody).await.unwrap_err().kind(), ErrorKind::NotFound);

        let mut read = kernel.control_read(&admin).await.unwrap();
        let rows =
            sqlx::query("SELECT action, resource FROM audit ORDER BY seq").fetch_all(read.conn()).await;
        let records: Vec<(String, String)> =
            rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
        let expected = [
            ("tenant.create", "tenant/acme"),
            ("issuer.put", "issuer/opaque"),
            ("issuer.remove", "issuer/opaque"),
            ("token.revoke", "token/j"),
            ("token.revoke_all", "token/acme"),
        ];
        assert_eq!(records, expected.map(|(action, of)| (action.to_owned(), of.to_owned())));
        let events: i64 =
            sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(read.conn()).await.unwrap();
        assert_eq!(events, 5);
        drop(read);
        tenancy.shutdown().await;
        kernel.close().await;
        for file in std::fs::read_dir(directory.path()).unwrap().flatten() {
            let Ok(bytes) = std::fs::read(file.path()) else { continue };
            assert!(!bytes.windows(15).any(|window| window == b"hunter2-hunter2"), "{file:?}");
        }
    }
}

/// They need a server: `cargo xtask test` starts one and sets `DATABASE_URL`. Without it they fail.
#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::Mutex;

    use mcp_core::{conformance::PgTestDatabase, sql::postgres::PgKernel};
    use mcp_tenancy::{
        POSTGRES_MIGRATIONS, issuer::PostgresIssuerStore, revocation::PostgresRevocationStore,
    };

    use super::*;

    /// Runs a suite, each check on a database of its own.
    async fn kept_on_databases<T: ?Sized>(
        suite: &[Check<T>],
        store: impl Fn(PgKernel, ManualClock) -> Arc<T>,
    ) {
        let used = Mutex::new(Vec::new());
        kept(suite, async || {
            let (database, clock) = (PgTestDatabase::create().await.unwrap(), clock());
            PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
            let connected = Arc::new(clock.clone());
            let kernel = PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], connected);
            let kernel = kernel.await.unwrap();
            used.lock().unwrap().push((database, kernel.clone()));
            store(kernel, clock)
        })
        .await;
        for (database, kernel) in used.into_inner().unwrap() {
            kernel.close().await;
            database.destroy().await.unwrap();
        }
    }

    #[tokio::test]
    async fn issuer_store() {
        kept_on_databases(ISSUER_STORE, |kernel, _| {
            Arc::new(PostgresIssuerStore::new(kernel)) as Arc<dyn IssuerStore>
        })
        .await;
    }

    #[tokio::test]
    async fn revocation_store() {
        kept_on_databases(REVOCATION_STORE, |kernel, clock| {
            Arc::new(ClockedRevocations {
                store: Arc::new(PostgresRevocationStore::new(kernel).with_max_denied(MOST_DENIED)),
                clock,
            })
        })
        .await;
    }
}
