//! The suite on SQLite, and what only a database can show.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use mcp_context::{
    SQLITE_MIGRATIONS,
    conformance::{
        self, CONTEXT_STORE, Check, ContextHarness, MEMORY_STORE, MemoryHarness, MemoryLog, TENANTS,
    },
    context::{Append, ContextLimits, NewContext, NewMessage, Role, SqliteContextStore},
    memory::{Memory, MemoryId, MemoryStore, Namespace, NewMemory, SqliteMemoryStore, Stored, VectorChanges},
    vector::{Vector, VectorIndex},
};
use mcp_core::{
    Result, Scope,
    clock::SystemClock,
    conformance::{platform, scope_of},
    event::Event,
    scope::TenantId,
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use tempfile::TempDir;

mod indexes;

async fn open(directory: &Path) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    config.wait = std::time::Duration::from_secs(60);
    SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(SystemClock)).await.unwrap()
}

async fn provision(kernel: &SqliteKernel, mode: IsolationMode) {
    for tenant in TENANTS {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
}

async fn events(kernel: SqliteKernel, scope: Scope) -> Result<Vec<Event>> {
    let mut read = kernel.read(&scope).await?;
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT envelope FROM outbox WHERE tenant_id = ? ORDER BY seq")
            .bind(scope.tenant().as_str())
            .fetch_all(read.conn())
            .await
            .unwrap();
    Ok(rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect())
}

fn harness(kernel: &SqliteKernel) -> Arc<ContextHarness> {
    let store = Arc::new(SqliteContextStore::new(kernel.clone(), ContextLimits::default()));
    let kernel = kernel.clone();
    Arc::new(ContextHarness { store, events: Box::new(move |scope| Box::pin(events(kernel.clone(), scope))) })
}

fn memories(kernel: &SqliteKernel, index: fn() -> Arc<dyn VectorIndex>) -> Arc<MemoryHarness> {
    memories_in(Arc::new(SqliteMemoryStore::new(kernel.clone())), kernel, index)
}

fn memories_in(
    store: Arc<dyn MemoryStore>,
    kernel: &SqliteKernel,
    index: fn() -> Arc<dyn VectorIndex>,
) -> Arc<MemoryHarness> {
    let kernel = kernel.clone();
    let logs = move |scope: Scope| {
        let kernel = kernel.clone();
        Box::pin(async move {
            let mut read = kernel.read(&scope).await?;
            let audited =
                sqlx::query_as("SELECT action, resource FROM audit WHERE tenant_id = ? ORDER BY seq")
                    .bind(scope.tenant().as_str())
                    .fetch_all(read.conn())
                    .await
                    .unwrap();
            drop(read);
            Ok(MemoryLog { events: events(kernel, scope).await?, audited })
        }) as _
    };
    Arc::new(MemoryHarness { store, index, logs: Box::new(logs) })
}

async fn kept_in<T: ?Sized>(
    mode: IsolationMode,
    suite: &[Check<T>],
    store: impl Fn(&SqliteKernel) -> Arc<T>,
) {
    let directories = Mutex::new(Vec::<TempDir>::new());
    let report = conformance::run(suite, async || {
        let directory = tempfile::tempdir().unwrap();
        let kernel = open(directory.path()).await;
        provision(&kernel, mode).await;
        directories.lock().unwrap().push(directory);
        store(&kernel)
    });
    if let Some(failures) = report.await.failures() {
        panic!("{failures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_in_both_modes_with_every_index() {
    for index in indexes::ALL {
        for mode in [IsolationMode::Database, IsolationMode::Row] {
            kept_in(mode, MEMORY_STORE, |kernel| memories(kernel, *index)).await;
        }
    }
}

/// A store that ranks as FTS5 does: how rare a word is counts over all that the file holds.
#[derive(Debug)]
struct SharedStatistics {
    inner: SqliteMemoryStore,
    kernel: SqliteKernel,
}

#[async_trait]
impl MemoryStore for SharedStatistics {
    async fn by_words(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        words: &[String],
        limit: u32,
    ) -> Result<Vec<MemoryId>> {
        let wanted = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR ");
        let mut read = self.kernel.read(scope).await?;
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT m.id FROM memory_words AS w JOIN memory AS m ON m.row_id = w.rowid
             WHERE memory_words MATCH $3 AND m.tenant_id = $1 AND m.namespace = $2
             ORDER BY bm25(memory_words), m.row_id DESC LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(namespace.as_str())
        .bind(wanted)
        .bind(i64::from(limit))
        .fetch_all(read.conn())
        .await
        .unwrap();
        ids.iter().map(|id| MemoryId::parse(id)).collect()
    }
    async fn same(&self, scope: &Scope, namespace: &Namespace, text: &str) -> Result<Option<Memory>> {
        self.inner.same(scope, namespace, text).await
    }
    async fn put(&self, scope: &Scope, new: NewMemory, vector: Option<(&str, &[f32])>) -> Result<Stored> {
        self.inner.put(scope, new, vector).await
    }
    async fn version(&self, scope: &Scope, namespace: &Namespace) -> Result<i64> {
        self.inner.version(scope, namespace).await
    }
    async fn vectors(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        before: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<Vector>> {
        self.inner.vectors(scope, namespace, model, before, limit).await
    }
    async fn changes(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        since: i64,
        until: i64,
    ) -> Result<Option<VectorChanges>> {
        self.inner.changes(scope, namespace, model, since, until).await
    }
    async fn get(&self, scope: &Scope, ids: &[MemoryId]) -> Result<Vec<Memory>> {
        self.inner.get(scope, ids).await
    }
    async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()> {
        self.inner.forget(scope, id).await
    }
}

/// The leak that this store had: the suite finds it, in one file for all and in a file for each.
#[tokio::test(flavor = "multi_thread")]
async fn a_ranking_by_the_statistics_of_the_whole_file_is_found_out() {
    for mode in [IsolationMode::Row, IsolationMode::Database] {
        let directories = Mutex::new(Vec::<TempDir>::new());
        let report = conformance::run(MEMORY_STORE, async || {
            let directory = tempfile::tempdir().unwrap();
            let kernel = open(directory.path()).await;
            provision(&kernel, mode).await;
            directories.lock().unwrap().push(directory);
            let inner = SqliteMemoryStore::new(kernel.clone());
            let store = SharedStatistics { inner, kernel: kernel.clone() };
            memories_in(Arc::new(store), &kernel, indexes::exact)
        });
        let report = report.await;
        assert!(report.failed("nobody_elses_words_count"), "mode {mode}");
        assert!(!report.failed("found_by_its_words"), "mode {mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn context_store_in_mode_database() {
    kept_in(IsolationMode::Database, CONTEXT_STORE, harness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn context_store_in_mode_row() {
    kept_in(IsolationMode::Row, CONTEXT_STORE, harness).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_a_deletion_is_audited() {
    let directory = tempfile::tempdir().unwrap();
    let scope = scope_of("acme").unwrap();
    let kernel = open(directory.path()).await;
    provision(&kernel, IsolationMode::Database).await;
    let store = harness(&kernel).store.clone();
    let id = store.create(&scope, NewContext::default()).await.unwrap().head.id;
    let messages = vec![NewMessage::text(Role::User, "hi")];
    store.append(&scope, &id, Append { messages, ..Append::default() }).await.unwrap();
    let before = store.read(&scope, &id, 10).await.unwrap();
    drop(store);
    kernel.close().await;

    let kernel = open(directory.path()).await;
    let store = harness(&kernel).store.clone();
    assert_eq!(store.read(&scope, &id, 10).await.unwrap(), before);
    store.delete(&scope, &id, Some(2)).await.unwrap();
    let mut read = kernel.read(&scope).await.unwrap();
    let audited: (String, String) =
        sqlx::query_as("SELECT action, resource FROM audit WHERE tenant_id = 'acme'")
            .fetch_one(read.conn())
            .await
            .unwrap();
    assert_eq!(audited, ("context.delete".to_owned(), format!("context/{id}")));
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(read.conn()).await.unwrap();
    assert_eq!(left, 0);
    drop(read);
    kernel.close().await;
}

#[tokio::test]
async fn used_keys_are_forgotten_after_their_time() {
    let directory = tempfile::tempdir().unwrap();
    let clock = mcp_core::clock::ManualClock::new(mcp_core::clock::Timestamp::from_micros(1));
    let kernel = SqliteKernel::open(
        SqliteConfig::new(directory.path()),
        &[SQLITE_MIGRATIONS],
        Arc::new(clock.clone()),
    );
    let kernel = kernel.await.unwrap();
    provision(&kernel, IsolationMode::Database).await;
    let store = harness(&kernel).store.clone();
    let scope = scope_of("acme").unwrap();
    let with = |key: String| NewContext { idempotency_key: Some(key), ..NewContext::default() };
    for n in 0..20 {
        store.create(&scope, with(format!("old-{n}"))).await.unwrap();
    }
    clock.advance(std::time::Duration::from_secs(24 * 60 * 60 + 1));
    for n in 0..4 {
        store.create(&scope, with(format!("new-{n}"))).await.unwrap();
    }
    let mut read = kernel.read(&scope).await.unwrap();
    let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM context_request ORDER BY key")
        .fetch_all(read.conn())
        .await
        .unwrap();
    assert_eq!(keys, ["new-0", "new-1", "new-2", "new-3"]);
}
