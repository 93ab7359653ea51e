//! The reference: a conversation as one would keep it with sqlx alone, for many tenants.
//!
//! The context's counters, the message and its event, in one transaction: the same promise, so that what differs
//! is the way there. As an expert would: each row has its tenant, PostgreSQL holds the transaction to it, which is
//! set in the message that begins it; the outbox has the order in which a relay publishes; statements are prepared
//! once, as sqlx does by default, and no connection is asked whether it is still there.

use std::{path::Path, time::Duration};

use mcp_core::clock::{Clock as _, SystemClock};
use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

use super::{TENANT, TEXT};
use crate::{Failure, postgres::CONNECTIONS};

const TABLES: &str = "
    CREATE TABLE bare_context (tenant_id TEXT NOT NULL, id TEXT NOT NULL, user_id TEXT NOT NULL,
        version BIGINT NOT NULL, messages BIGINT NOT NULL, PRIMARY KEY (tenant_id, id));
    CREATE TABLE bare_message (tenant_id TEXT NOT NULL, context_id TEXT NOT NULL, seq BIGINT NOT NULL,
        role TEXT NOT NULL, content TEXT NOT NULL, metadata TEXT NOT NULL, author TEXT NOT NULL,
        created_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, context_id, seq));";
const SQLITE_OUTBOX: &str =
    "CREATE TABLE bare_outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, tenant_id TEXT NOT NULL,
        id TEXT NOT NULL, envelope TEXT NOT NULL)";
/// Sequence values are taken before the commit, so the order is that of transactions first.
const POSTGRES_OUTBOX: &str = "CREATE TABLE bare_outbox (xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
        seq BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY, tenant_id TEXT NOT NULL, id TEXT NOT NULL,
        envelope TEXT NOT NULL, PRIMARY KEY (xid, seq))";
/// Holds for the owner too, as `FORCE` says.
const SECURE: [&str; 3] = ["bare_context", "bare_message", "bare_outbox"];

const CREATE: &str =
    "INSERT INTO bare_context (tenant_id, id, user_id, version, messages) VALUES ($1, $2, 'u', 1, 0)";
const GROW: &str = "UPDATE bare_context SET version = version + 1, messages = messages + 1 \
     WHERE tenant_id = $1 AND id = $2 RETURNING user_id, version, messages";
const INSERT: &str = "INSERT INTO bare_message (tenant_id, context_id, seq, role, content, metadata, author, \
     created_at) VALUES ($1, $2, $3, 'user', $4, '{}', $5, $6)";
const EMIT: &str = "INSERT INTO bare_outbox (tenant_id, id, envelope) VALUES ($1, $2, $3)";
const HEAD: &str = "SELECT user_id, version, messages FROM bare_context WHERE tenant_id = $1 AND id = $2";
const NEWEST: &str = "SELECT seq, role, content, metadata, author, created_at FROM bare_message \
     WHERE tenant_id = $1 AND context_id = $2 ORDER BY seq DESC LIMIT 1000";

/// What is measured beside ours.
pub(super) trait Bare {
    /// As many new contexts.
    async fn contexts(&self, count: usize) -> Result<Vec<String>, Failure>;
    /// Appends a message.
    async fn append(&self, context: &str) -> Result<(), Failure>;
    /// Reads the newest thousand messages, oldest first, as of one moment. Returns how many there are.
    async fn read(&self, context: &str) -> Result<usize, Failure>;
    /// Closes what is open.
    async fn close(self);
}

/// A message as it is read: what is stored as JSON is JSON again.
type Message = (i64, String, Value, Map<String, Value>, String, i64);

macro_rules! bare {
    ($(#[$doc:meta])* $name:ident, $pool:ty, $write:literal, $read:literal) => {
        $(#[$doc])*
        pub(super) struct $name { writers: $pool, readers: $pool }

        impl Bare for $name {
            async fn contexts(&self, count: usize) -> Result<Vec<String>, Failure> {
                let mut ids = Vec::with_capacity(count);
                for _ in 0..count {
                    let id = uuid::Uuid::now_v7().to_string();
                    let mut tx = self.writers.begin_with($write).await?;
                    sqlx::query(CREATE).bind(TENANT).bind(&id).execute(&mut *tx).await?;
                    tx.commit().await?;
                    ids.push(id);
                }
                Ok(ids)
            }

            async fn append(&self, context: &str) -> Result<(), Failure> {
                let content = serde_json::to_string(TEXT)?;
                let mut tx = self.writers.begin_with($write).await?;
                let grown = sqlx::query_as(GROW).bind(TENANT).bind(context).fetch_one(&mut *tx).await?;
                let (user, version, seq): (String, i64, i64) = grown;
                let now = SystemClock.now().as_micros();
                sqlx::query(INSERT)
                    .bind(TENANT)
                    .bind(context)
                    .bind(seq)
                    .bind(content)
                    .bind("bench")
                    .bind(now)
                    .execute(&mut *tx)
                    .await?;
                let id = uuid::Uuid::now_v7().to_string();
                let event = event(&id, context, &user, version, seq);
                sqlx::query(EMIT).bind(TENANT).bind(id).bind(event).execute(&mut *tx).await?;
                Ok(tx.commit().await?)
            }

            async fn read(&self, context: &str) -> Result<usize, Failure> {
                let mut tx = self.readers.begin_with($read).await?;
                let head = sqlx::query_as(HEAD).bind(TENANT).bind(context).fetch_one(&mut *tx).await?;
                let (_, _, _): (String, i64, i64) = head;
                type Row = (i64, String, String, String, String, i64);
                let rows: Vec<Row> =
                    sqlx::query_as(NEWEST).bind(TENANT).bind(context).fetch_all(&mut *tx).await?;
                let messages = rows.into_iter().rev().map(|(seq, role, content, metadata, author, at)| {
                    let content = serde_json::from_str(&content)?;
                    Ok((seq, role, content, serde_json::from_str(&metadata)?, author, at))
                });
                Ok(std::hint::black_box(messages.collect::<Result<Vec<Message>, Failure>>()?).len())
            }

            async fn close(self) {
                self.readers.close().await;
                self.writers.close().await;
            }
        }
    };
}

bare! {
    /// One file with one writer, as SQLite has no more.
    Sqlite, SqlitePool, "BEGIN IMMEDIATE", "BEGIN"
}

bare! {
    /// A few connections to one database.
    Postgres, PgPool, "BEGIN; SET LOCAL app.tenant_id = 'bench'",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL app.tenant_id = 'bench'"
}

impl Sqlite {
    /// Makes the file, with the settings ours have.
    pub(super) async fn open(file: &Path) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            .disable_statement_logging();
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writers = pool().max_connections(1).connect_with(options.clone()).await?;
        sqlx::raw_sql(TABLES).execute(&writers).await?;
        sqlx::raw_sql(SQLITE_OUTBOX).execute(&writers).await?;
        let readers = pool().max_connections(CONNECTIONS).connect_with(options.read_only(true)).await?;
        Ok(Self { writers, readers })
    }
}

impl Postgres {
    /// Makes the tables in the database at `url`.
    pub(super) async fn open(url: PgConnectOptions) -> Result<Self, Failure> {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        let pool = options.connect_with(url.disable_statement_logging()).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        sqlx::raw_sql(POSTGRES_OUTBOX).execute(&pool).await?;
        for table in SECURE {
            let secure = format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
                 CREATE POLICY tenant ON {table} USING (tenant_id = current_setting('app.tenant_id', true))"
            );
            sqlx::raw_sql(AssertSqlSafe(secure)).execute(&pool).await?;
        }
        Ok(Self { readers: pool.clone(), writers: pool })
    }
}

/// A change as CloudEvents have it.
fn event(id: &str, context: &str, user: &str, version: i64, seq: i64) -> String {
    serde_json::json!({
        "specversion": "1.0", "id": id, "type": "com.mcp.tenant.context.updated", "source": "bare",
        "subject": format!("{TENANT}/{context}"), "datacontenttype": "application/json",
        "data": {
            "tenantId": TENANT, "contextId": context, "userId": user, "operation": "append", "version": version,
            "changes": {"first_seq": seq, "last_seq": seq},
        },
    })
    .to_string()
}
