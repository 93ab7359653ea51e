//! Appending to a context and reading it, beside the same rows written and read with sqlx alone.

mod bare;

use std::{sync::Arc, time::Duration};

use mcp_context::{
    POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS,
    context::{
        Append, ContextId, ContextLimits, ContextStore, NewContext, NewMessage, PostgresContextStore, Role,
        SqliteContextStore,
    },
};
use mcp_core::{
    PlatformScope, Scope,
    clock::SystemClock,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    sql::{
        IsolationMode,
        postgres::PgKernel,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};

use self::bare::Bare;
use crate::{
    Failure,
    measure::{self, Cost, Measure},
    postgres::Database,
    row::Row,
};

const NAME: &str = "context";
const TENANT: &str = "bench";
/// A short sentence, as most messages are.
const TEXT: &str = "Where is my order? It was to be here on Monday, and now it is Thursday.";
/// Writers at once, each to a context of its own.
const WRITERS: [usize; 2] = [1, 8];
/// Messages of the context that is read, all of them at once.
const LONG: u32 = 1000;

/// Runs every case; `server` is a superuser's URL.
///
/// # Errors
/// When a database does not do what is asked.
pub(crate) async fn run(span: Duration, server: &str) -> Result<Vec<Row>, Failure> {
    let mut rows = sqlite(span).await?;
    rows.extend(postgres(span, server).await?);
    Ok(rows)
}

/// The embedded default: a file for the tenant.
async fn sqlite(span: Duration) -> Result<Vec<Row>, Failure> {
    let directory = tempfile::tempdir()?;
    let config = SqliteConfig::new(directory.path().join("ours"));
    let kernel = SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(SystemClock)).await?;
    let (operator, tenant) = (operator()?, TenantId::parse(TENANT)?);
    let mut tx = kernel.control(&operator).await?;
    kernel.place(&mut tx, &tenant, IsolationMode::Database, None).await?;
    tx.commit().await?;
    kernel.provision(&operator, &tenant).await?;
    let store = SqliteContextStore::new(kernel.clone(), ContextLimits::default());
    let bare = bare::Sqlite::open(&directory.path().join("bare.db")).await?;
    let rows = beside(span, &store, bare, "sqlite").await?;
    drop(store);
    kernel.close().await;
    Ok(rows)
}

/// Shared tables under row-level security, which most tenants of a platform live in.
async fn postgres(span: Duration, server: &str) -> Result<Vec<Row>, Failure> {
    let database = Database::create(server).await?;
    let config = database.config();
    PgKernel::install(&config, &[POSTGRES_MIGRATIONS]).await?;
    let kernel = PgKernel::connect(config, &[POSTGRES_MIGRATIONS], Arc::new(SystemClock)).await?;
    let (operator, tenant) = (operator()?, TenantId::parse(TENANT)?);
    let mut tx = kernel.control(&operator).await?;
    kernel.place(&mut tx, &tenant, IsolationMode::Row, None).await?;
    tx.commit().await?;
    kernel.provision(&operator, &tenant).await?;
    let store = PostgresContextStore::new(kernel.clone(), ContextLimits::default());
    let bare = bare::Postgres::open(database.owner()).await?;
    let rows = beside(span, &store, bare, "postgres").await?;
    drop(store);
    kernel.close().await;
    database.remove().await?;
    Ok(rows)
}

/// Ours, in `store`, beside the reference.
async fn beside(
    span: Duration,
    store: &dyn ContextStore,
    bare: impl Bare,
    backend: &str,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for writers in WRITERS {
        let reference = cost(span, bare.contexts(writers).await?, async |id| bare.append(id).await).await?;
        let case = format!("{backend} {writers} writers");
        rows.extend(appending(span, store, writers).await?.rows(&reference, &case, "appends"));
    }
    let contexts = bare.contexts(1).await?;
    for _ in 0..LONG {
        bare.append(&contexts[0]).await?;
    }
    let reference = cost(span, contexts, async |id| whole(bare.read(id).await?)).await?;
    let case = format!("{backend} {LONG} messages");
    rows.extend(reading(span, store).await?.rows(&reference, &case, "reads"));
    bare.close().await;
    Ok(rows)
}

async fn appending(span: Duration, store: &dyn ContextStore, writers: usize) -> Result<Cost, Failure> {
    let scope = scope()?;
    let mut contexts = Vec::with_capacity(writers);
    for _ in 0..writers {
        contexts.push(store.create(&scope, NewContext::default()).await?.head.id);
    }
    let append = async |id: &ContextId| {
        let messages = vec![NewMessage::text(Role::User, TEXT)];
        store.append(&scope, id, Append { messages, ..Append::default() }).await?;
        Ok(())
    };
    cost(span, contexts, append).await
}

async fn reading(span: Duration, store: &dyn ContextStore) -> Result<Cost, Failure> {
    let scope = scope()?;
    let context = store.create(&scope, NewContext::default()).await?.head.id;
    for _ in 0..LONG {
        let messages = vec![NewMessage::text(Role::User, TEXT)];
        store.append(&scope, &context, Append { messages, ..Append::default() }).await?;
    }
    let read = async |id: &ContextId| {
        whole(store.read(&scope, id, LONG).await?.history.map_or(0, |history| history.len()))
    };
    cost(span, vec![context], read).await
}

/// A bench of half a conversation would measure something else.
fn whole(messages: usize) -> Result<(), Failure> {
    if messages == LONG as usize { Ok(()) } else { Err(format!("{messages} messages were read").into()) }
}

/// What `step` costs this process: with PostgreSQL, not its server.
async fn cost<I: Clone>(
    span: Duration,
    contexts: Vec<I>,
    step: impl AsyncFn(&I) -> Result<(), Failure>,
) -> Result<Cost, Failure> {
    let load = async |span| -> Result<Measure, Failure> {
        measure::closed_loop(contexts.clone(), span, async |id| step(id).await).await
    };
    Cost::of(span, || measure::cpu_seconds("self"), load).await
}

impl Cost {
    fn rows(&self, reference: &Self, case: &str, what: &str) -> Vec<Row> {
        let mut rows = self.rates(reference, NAME, case, what).to_vec();
        rows.extend(self.latencies(reference, NAME, case));
        rows
    }
}

fn operator() -> Result<PlatformScope, Failure> {
    Ok(PlatformScope::new(PrincipalId::parse("bench")?, "measures"))
}

/// Whoever measures, as a tenant's principal.
///
/// # Errors
/// None: the names are valid.
pub(crate) fn scope() -> Result<Scope, Failure> {
    let principal = Principal {
        id: PrincipalId::parse("bench")?,
        kind: PrincipalKind::Service,
        permissions: Permissions::parse(["*"])?,
    };
    Ok(Scope::new(TenantId::parse("bench")?, Arc::new(principal)))
}
