//! The suite on PostgreSQL in every isolation mode.
//!
//! They need a server: `cargo xtask test` starts one and sets `DATABASE_URL`. Without it they fail.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::{Arc, Mutex};

use mcp_context::{
    POSTGRES_MIGRATIONS,
    conformance::{
        self, CONTEXT_STORE, Check, ContextHarness, MEMORY_STORE, MemoryHarness, MemoryLog, TENANTS,
    },
    context::{ContextLimits, PostgresContextStore},
    memory::PostgresMemoryStore,
    vector::VectorIndex,
};
use mcp_core::{
    Scope,
    clock::SystemClock,
    conformance::{PgTestDatabase, eventually, platform},
    event::Event,
    scope::TenantId,
    sql::{
        IsolationMode,
        postgres::{PgKernel, query_as, query_scalar},
    },
};

mod indexes;

/// How the database is reached.
#[derive(Clone, Copy)]
enum Way {
    Straight,
    WithNamedStatements,
    BehindPgBouncer,
}

async fn database(mode: IsolationMode, way: Way) -> (PgTestDatabase, PgKernel) {
    let made = match way {
        Way::Straight | Way::WithNamedStatements => PgTestDatabase::create().await,
        Way::BehindPgBouncer => PgTestDatabase::create_pooled().await,
    };
    let mut database = made.unwrap_or_else(|error| panic!("{}", error.report()));
    database.config.named_statements = matches!(way, Way::WithNamedStatements);
    // Sixty-four writers share four connections.
    database.config.wait = std::time::Duration::from_secs(60);
    PgKernel::install(&database.config, &[POSTGRES_MIGRATIONS]).await.unwrap();
    let kernel = PgKernel::connect(database.config.clone(), &[POSTGRES_MIGRATIONS], Arc::new(SystemClock))
        .await
        .unwrap();
    for tenant in TENANTS {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
    (database, kernel)
}

/// In the order in which a relay publishes them, without the horizon, as nothing is under way.
async fn events(kernel: PgKernel, scope: Scope) -> mcp_core::Result<Vec<Event>> {
    let mut read = kernel.read(&scope).await?;
    let rows: Vec<String> =
        query_scalar("SELECT envelope FROM outbox WHERE tenant_id = $1 ORDER BY xid, seq")
            .bind(scope.tenant().as_str())
            .fetch_all(read.conn())
            .await
            .unwrap();
    Ok(rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect())
}

fn contexts(kernel: &PgKernel) -> Arc<ContextHarness> {
    let store = Arc::new(PostgresContextStore::new(kernel.clone(), ContextLimits::default()));
    let kernel = kernel.clone();
    Arc::new(ContextHarness { store, events: Box::new(move |scope| Box::pin(events(kernel.clone(), scope))) })
}

fn memories(kernel: &PgKernel, index: fn() -> Arc<dyn VectorIndex>) -> Arc<MemoryHarness> {
    let store = Arc::new(PostgresMemoryStore::new(kernel.clone()));
    let kernel = kernel.clone();
    let logs = move |scope: Scope| {
        let kernel = kernel.clone();
        Box::pin(async move {
            let mut read = kernel.read(&scope).await?;
            let audited = query_as("SELECT action, resource FROM audit WHERE tenant_id = $1 ORDER BY seq")
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

async fn kept_in<T: ?Sized>(mode: IsolationMode, suite: &[Check<T>], store: impl Fn(&PgKernel) -> Arc<T>) {
    kept(mode, Way::Straight, suite, store).await;
}

async fn kept<T: ?Sized>(
    mode: IsolationMode,
    way: Way,
    suite: &[Check<T>],
    store: impl Fn(&PgKernel) -> Arc<T>,
) {
    let used = Mutex::new(Vec::new());
    let report = conformance::run(suite, async || {
        let (database, kernel) = database(mode, way).await;
        used.lock().unwrap().push((database, kernel.clone()));
        store(&kernel)
    })
    .await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
    for (database, kernel) in used.into_inner().unwrap() {
        let quiet = eventually("a transaction is left open", || async {
            Ok(database.open_transactions().await? == 0)
        });
        quiet.await.unwrap_or_else(|failure| panic!("{failure}"));
        kernel.close().await;
        database.destroy().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn context_store_in_mode_row() {
    kept_in(IsolationMode::Row, CONTEXT_STORE, contexts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn context_store_in_mode_schema() {
    kept_in(IsolationMode::Schema, CONTEXT_STORE, contexts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn context_store_in_mode_database() {
    kept_in(IsolationMode::Database, CONTEXT_STORE, contexts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn context_store_with_named_statements() {
    for mode in IsolationMode::ALL {
        kept(mode, Way::WithNamedStatements, CONTEXT_STORE, contexts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_in_every_mode() {
    // Which index stands above a store has nothing to do with its mode: each is there with one of them.
    for (mode, index) in IsolationMode::ALL.into_iter().zip(indexes::ALL.iter().cycle()) {
        kept_in(mode, MEMORY_STORE, |kernel| memories(kernel, *index)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_behind_pgbouncer() {
    let (mode, way) = (IsolationMode::Row, Way::BehindPgBouncer);
    kept(mode, way, CONTEXT_STORE, contexts).await;
    kept(mode, way, MEMORY_STORE, |kernel| memories(kernel, indexes::ALL[0])).await;
}
