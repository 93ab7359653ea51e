//! The audit chain on PostgreSQL: sealed by the relay role, in the order of commits, in every mode.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::Arc, time::Duration};

use mcp_core::{
    audit::{
        AuditKey, AuditRecord, AuditStore as _, Chain, PgAudit, ProblemKind, Sealer, SealerConfig,
        VerifyReport, verify,
    },
    clock::SystemClock,
    conformance::{PgTestDatabase, platform, scope_of},
    lease::{Leases as _, PgLeases},
    scope::Scope,
    sql::{IsolationMode, postgres::PgKernel},
};

struct House {
    database: PgTestDatabase,
    files: tempfile::TempDir,
    kernel: PgKernel,
    key: AuditKey,
    sealer: Sealer,
}

async fn house() -> House {
    let database = PgTestDatabase::create().await.unwrap();
    PgKernel::install(&database.config, &[]).await.unwrap();
    let kernel = PgKernel::connect(database.config.clone(), &[], Arc::new(SystemClock)).await.unwrap();
    for (id, mode) in [("row-a", IsolationMode::Row), ("row-b", IsolationMode::Row)]
        .into_iter()
        .chain([("own-schema", IsolationMode::Schema), ("own-database", IsolationMode::Database)])
    {
        let tenant = scope_of(id).unwrap().tenant().clone();
        let mut tx = kernel.control(&platform().unwrap()).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.audit(AuditRecord::administered(&platform().unwrap(), "tenant.create", id)).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&platform().unwrap(), &tenant).await.unwrap();
    }
    let files = tempfile::tempdir().unwrap();
    let key = AuditKey::ephemeral().unwrap();
    let config = SealerConfig {
        // Only the tests' own rounds seal.
        interval: Duration::from_secs(3600),
        ..SealerConfig::new(files.path().join("checkpoints.jsonl"))
    };
    let (store, leases) = (Arc::new(PgAudit::new(kernel.clone())), Arc::new(PgLeases::new(kernel.clone())));
    let sealer = Sealer::start(store, leases, key.clone(), Arc::new(SystemClock), config).unwrap();
    House { database, files, kernel, key, sealer }
}

async fn write(kernel: &PgKernel, scope: &Scope, resource: &str) {
    let mut tx = kernel.begin(scope).await.unwrap();
    tx.audit(AuditRecord::done(scope, "note.create", resource)).await.unwrap();
    tx.commit().await.unwrap();
}

impl House {
    /// Seals until all chains together have `total` links. Other tests' transactions on the server may hold
    /// one back.
    async fn seal_to(&self, total: i64) {
        let (store, above) = (PgAudit::new(self.kernel.clone()), platform().unwrap());
        let tenants = ["row-a", "row-b", "own-schema", "own-database"].map(|id| scope_of(id).unwrap());
        let chains: Vec<_> = tenants.iter().map(|scope| Chain::Tenant(scope.tenant().clone())).collect();
        let sealing = async {
            loop {
                self.sealer.seal_now().await.unwrap();
                let mut links = store.head(&above, &Chain::Platform).await.unwrap().seq;
                for chain in &chains {
                    links += store.head(&above, chain).await.unwrap().seq;
                }
                if links >= total {
                    return links;
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), sealing).await.unwrap(), total);
    }

    async fn verify(&self) -> VerifyReport {
        let store = PgAudit::new(self.kernel.clone());
        verify(&store, &self.files.path().join("checkpoints.jsonl"), &[self.key.public()]).await.unwrap()
    }

    /// The resources of a tenant's sealed records behind number `after`, in the order of the chain.
    async fn sealed(&self, tenant: &Scope, after: i64) -> Vec<String> {
        let chain = Chain::Tenant(tenant.tenant().clone());
        let links =
            PgAudit::new(self.kernel.clone()).sealed(&platform().unwrap(), &chain, after, 10).await.unwrap();
        links.into_iter().map(|link| link.record.unwrap().entry.resource).collect()
    }

    async fn end(self) {
        self.sealer.shutdown().await;
        self.kernel.close().await;
        self.database.destroy().await.unwrap();
        drop(self.files);
    }
}

#[tokio::test]
async fn every_modes_chains_are_sealed_and_damage_shows() {
    let house = house().await;
    for id in ["row-a", "row-b", "own-schema", "own-database"] {
        for n in 0..4 {
            write(&house.kernel, &scope_of(id).unwrap(), &format!("note/{n}")).await;
        }
    }
    house.seal_to(20).await;
    let report = house.verify().await;
    assert!(report.is_intact(), "{report:?}");
    let chains: Vec<_> = report.chains.iter().map(|chain| (chain.chain.as_str(), chain.sealed)).collect();
    assert_eq!(chains, [("platform", 4), ("own-database", 4), ("own-schema", 4), ("row-a", 4), ("row-b", 4)]);
    assert_eq!(house.sealed(&scope_of("row-b").unwrap(), 2).await, ["note/2", "note/3"]);

    // A superuser is not held by row-level security.
    for (place, schema, sql) in [
        (
            None,
            "mcp_data",
            "UPDATE audit SET actor = 'nobody' WHERE tenant_id = 'row-b' AND resource = 'note/1'",
        ),
        (None, "own_schema", "DELETE FROM audit WHERE resource = 'note/2'"),
        (
            Some("own_database"),
            "mcp_data",
            "DELETE FROM audit_seal WHERE seq > 2; DELETE FROM audit_checkpoint",
        ),
    ] {
        let mut admin = house.database.admin(place).await.unwrap();
        let set = format!("SET search_path TO {schema}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut admin).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    }
    let report = house.verify().await;
    let found: Vec<_> =
        report.problems.iter().map(|p| (p.chain.as_deref().unwrap_or(""), p.kind, p.seq)).collect();
    for (chain, kind) in [
        ("row-b", ProblemKind::RecordAltered),
        ("own-schema", ProblemKind::RecordRemoved),
        ("own-database", ProblemKind::Truncated),
    ] {
        assert!(
            found.iter().any(|(at, what, _)| (*at, *what) == (chain, kind)),
            "{chain}, {kind:?}: {found:?}"
        );
    }
    assert!(!found.iter().any(|(chain, ..)| *chain == "row-a"), "{found:?}");
    house.end().await;
}

/// A sequence's value is taken before the commit: who seals by it skips the slower transaction.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let house = house().await;
    let (a, b) = (scope_of("row-a").unwrap(), scope_of("row-b").unwrap());
    let mut slow = house.kernel.begin(&a).await.unwrap();
    slow.audit(AuditRecord::done(&a, "note.create", "slow")).await.unwrap();
    write(&house.kernel, &a, "fast").await;
    write(&house.kernel, &b, "other").await;
    // Nothing behind the open transaction is linked, or it could not be put in its place later.
    house.seal_to(4).await;
    assert!(house.sealed(&a, 0).await.is_empty());
    slow.commit().await.unwrap();
    house.seal_to(7).await;
    assert_eq!(house.sealed(&a, 0).await, ["slow", "fast"]);
    assert!(house.verify().await.is_intact());
    house.end().await;
}

#[tokio::test]
async fn a_restored_dump_from_a_cluster_with_higher_transaction_ids_is_sealed() {
    let house = house().await;
    house.seal_to(4).await;
    let a = scope_of("row-a").unwrap();
    write(&house.kernel, &a, "restored").await;
    let mut admin = house.database.admin(None).await.unwrap();
    let restore = "UPDATE mcp_data.audit_pending SET xid = '900000000000'::xid8";
    sqlx::raw_sql(restore).execute(&mut admin).await.unwrap();
    write(&house.kernel, &a, "new").await;
    house.seal_to(6).await;
    assert!(house.verify().await.is_intact());
    house.end().await;
}

#[tokio::test]
async fn leases_are_fenced_and_end_by_the_databases_clock() {
    let house = house().await;
    let (above, leases) = (platform().unwrap(), PgLeases::new(house.kernel.clone()));
    let long = Duration::from_secs(60);
    let short = leases.acquire(&above, "job", "a", Duration::from_millis(1)).await.unwrap().unwrap();
    let next = loop {
        if let Some(next) = leases.acquire(&above, "job", "b", long).await.unwrap() {
            break next;
        }
    };
    assert!(next.token > short.token);
    assert_eq!(leases.acquire(&above, "job", "c", long).await.unwrap(), None);
    assert_eq!(leases.renew(&above, &short, long).await.unwrap(), None);
    leases.release(&above, &short).await.unwrap();
    let renewed = leases.renew(&above, &next, long * 2).await.unwrap().unwrap();
    assert!(renewed.expires_at > next.expires_at);
    leases.release(&above, &renewed).await.unwrap();
    let last = leases.acquire(&above, "job", "a", long).await.unwrap().unwrap();
    assert!(last.token > next.token);
    house.end().await;
}

#[tokio::test]
async fn without_the_relays_url_nothing_is_sealed_and_the_setting_is_named() {
    let house = house().await;
    let mut config = house.database.config.clone();
    config.relay = None;
    let kernel = PgKernel::connect(config, &[], Arc::new(SystemClock)).await.unwrap();
    let error = PgAudit::new(kernel.clone()).head(&platform().unwrap(), &Chain::Platform).await.unwrap_err();
    assert!(error.message().contains("`relay`"), "{error:?}");
    kernel.close().await;
    house.end().await;
}
