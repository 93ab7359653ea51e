//! Finding an API key among a hundred and among a million, of ten thousand tenants.

use std::{path::Path, sync::Arc, time::Duration};

use mcp_core::{
    clock::SystemClock,
    sql::{
        postgres::PgKernel,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use mcp_tenancy::{
    POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS,
    key::{KeyId, KeyStore, PostgresKeyStore, SqliteKeyStore},
};
use sqlx::{
    AssertSqlSafe, PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    NAME, operator,
    timed::{Time, in_turn, per_call},
};
use crate::{Failure, postgres::Database, row::Row};

/// Keys that are looked up in a round.
const LOOKED_UP: usize = 100;
/// A key that is found needs no more than this of its row.
const BARE: &str = "SELECT tenant_id, principal_id, permissions, digest, expires_at, revoked_at \
     FROM api_key WHERE id = $1";

/// A row as the reference reads it.
type BareRow = (String, String, String, Vec<u8>, Option<i64>, Option<i64>);

/// Runs every case with up to `most` keys; `server` is a superuser's URL.
///
/// # Errors
/// When a database does not do what is asked, or a key is not found.
pub(super) async fn run(span: Duration, server: &str, most: u32) -> Result<Vec<Row>, Failure> {
    let directory = tempfile::tempdir()?;
    let mut rows = sqlite(span, directory.path(), most).await?;
    rows.extend(postgres(span, server, most).await?);
    Ok(rows)
}

/// A ten-thousandth, a hundredth, all.
fn sizes(most: u32) -> [u32; 3] {
    [most / 10_000, most / 100, most].map(|size| size.max(1))
}

async fn sqlite(span: Duration, directory: &Path, most: u32) -> Result<Vec<Row>, Failure> {
    let clock = Arc::new(SystemClock);
    let kernel = SqliteKernel::open(SqliteConfig::new(directory), &[SQLITE_MIGRATIONS], clock).await?;
    let store = SqliteKeyStore::new(kernel.clone());
    let options = SqliteConnectOptions::new().filename(directory.join("control.db"));
    let pool: SqlitePool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let mut found = Vec::new();
    let mut made = 0;
    for size in sizes(most) {
        // Ids are random, as real ones are: the index grows everywhere.
        let fill = format!(
            "WITH RECURSIVE n (i) AS (SELECT {made} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {size}) \
             INSERT INTO api_key (id, tenant_id, name, principal_id, principal_kind, permissions, digest, \
             created_at) SELECT lower(hex(randomblob(12))), 'tenant-' || (i % {}), 'bench', 'bench', \
             'service', '[\"tools:call\"]', randomblob(32), i FROM n",
            tenants(most),
        );
        sqlx::query(AssertSqlSafe(fill)).execute(&pool).await?;
        sqlx::query("ANALYZE api_key").execute(&pool).await?;
        made = size;
        let ids = sqlx::query_scalar("SELECT id FROM api_key ORDER BY random() LIMIT $1");
        let ids = parse(ids.bind(i64::try_from(LOOKED_UP)?).fetch_all(&pool).await?)?;
        let bare = async |id: &KeyId| {
            let row: BareRow = sqlx::query_as(BARE).bind(id.as_str()).fetch_one(&pool).await?;
            std::hint::black_box(row);
            Ok(())
        };
        found.push((size, look_up(span, &store, &ids, bare).await?));
    }
    pool.close().await;
    drop(store);
    kernel.close().await;
    Ok(rows("SQLite", &found))
}

async fn postgres(span: Duration, server: &str, most: u32) -> Result<Vec<Row>, Failure> {
    let database = Database::create(server).await?;
    let config = database.config();
    PgKernel::install(&config, &[POSTGRES_MIGRATIONS]).await?;
    let kernel = PgKernel::connect(config, &[POSTGRES_MIGRATIONS], Arc::new(SystemClock)).await?;
    let store = PostgresKeyStore::new(kernel.clone());
    let owner = database.owner().options([("search_path", "mcp_control")]);
    let pool: PgPool = PgPoolOptions::new().max_connections(1).connect_with(owner).await?;
    let mut found = Vec::new();
    let mut made = 0;
    for size in sizes(most) {
        let fill = format!(
            "INSERT INTO api_key (id, tenant_id, name, principal_id, principal_kind, permissions, digest, \
             created_at) SELECT left(replace(gen_random_uuid()::text, '-', ''), 24), 'tenant-' || (i % {}), \
             'bench', 'bench', 'service', '[\"tools:call\"]', sha256(i::text::bytea), i \
             FROM generate_series({made}, {size} - 1) AS i",
            tenants(most),
        );
        sqlx::query(AssertSqlSafe(fill)).execute(&pool).await?;
        sqlx::query("ANALYZE api_key").execute(&pool).await?;
        made = size;
        let ids = sqlx::query_scalar("SELECT id FROM api_key ORDER BY random() LIMIT $1");
        let ids = parse(ids.bind(i64::try_from(LOOKED_UP)?).fetch_all(&pool).await?)?;
        let bare = async |id: &KeyId| {
            let row: BareRow = sqlx::query_as(BARE).bind(id.as_str()).fetch_one(&pool).await?;
            std::hint::black_box(row);
            Ok(())
        };
        found.push((size, look_up(span, &store, &ids, bare).await?));
    }
    pool.close().await;
    drop(store);
    kernel.close().await;
    database.remove().await?;
    Ok(rows("PostgreSQL", &found))
}

fn tenants(most: u32) -> u32 {
    (most / 100).max(1)
}

fn parse(ids: Vec<String>) -> Result<Vec<KeyId>, Failure> {
    Ok(ids.iter().map(|id| KeyId::parse(id)).collect::<Result<_, _>>()?)
}

/// Microseconds that the store takes to find a key, and the reference.
async fn look_up(
    span: Duration,
    store: &dyn KeyStore,
    ids: &[KeyId],
    bare: impl AsyncFn(&KeyId) -> Result<(), Failure>,
) -> Result<[f64; 2], Failure> {
    let scope = operator()?;
    let ours = async || {
        per_call(Time::Wall, ids.len(), async |n| {
            std::hint::black_box(store.find(&scope, &ids[n]).await?.ok_or("a key was not found")?);
            Ok(())
        })
        .await
    };
    let reference = async || per_call(Time::Wall, ids.len(), async |n| bare(&ids[n]).await).await;
    in_turn(span, ours, reference).await
}

/// Each size beside the reference, and the largest beside the smallest: 1 is flat.
fn rows(database: &str, found: &[(u32, [f64; 2])]) -> Vec<Row> {
    let case = |size: u32| format!("find a key of {size} {database}");
    let mut rows: Vec<_> =
        found.iter().map(|(size, [ours, bare])| Row::less(NAME, case(*size), "us", *ours, *bare)).collect();
    if let (Some((few, [quick, _])), Some((many, [slow, _]))) = (found.first(), found.last()) {
        rows.push(Row::less(NAME, format!("find: {many} to {few} {database}"), "us", *slow, *quick));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_found_in_sqlite_at_every_size() {
        let directory = tempfile::tempdir().unwrap();
        let rows = sqlite(Duration::from_millis(1), directory.path(), 20_000).await.unwrap();
        let cases: Vec<_> = rows.iter().map(|row| row.case.as_str()).collect();
        assert_eq!(cases.len(), 4, "{cases:?}");
        assert!(cases[2].contains("20000") && cases[3].contains("20000 to 2"), "{cases:?}");
        assert!(rows.iter().all(|row| row.value > 0.0 && row.ratio > 0.0), "{rows:?}");
    }
}
