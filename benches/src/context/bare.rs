//! The reference: the rows of an append as one would write them with sqlx alone, for one tenant.
//!
//! The context's counters, the message and its event, in one transaction: the same promise, so that what differs
//! is the way there. Statements are prepared once, as sqlx does by default.

use std::{path::Path, time::Duration};

use mcp_core::clock::{Clock as _, SystemClock};
use sqlx::{
    ConnectOptions as _, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

use super::TEXT;
use crate::{Failure, postgres::CONNECTIONS};

const TABLES: &str = "
    CREATE TABLE bare_context (id TEXT PRIMARY KEY, version BIGINT NOT NULL, messages BIGINT NOT NULL);
    CREATE TABLE bare_message (context_id TEXT NOT NULL, seq BIGINT NOT NULL, role TEXT NOT NULL,
        content TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (context_id, seq));
    CREATE TABLE bare_outbox (id TEXT PRIMARY KEY, envelope TEXT NOT NULL);";
const CREATE: &str = "INSERT INTO bare_context (id, version, messages) VALUES ($1, 1, 0)";
const GROW: &str = "UPDATE bare_context SET version = version + 1, messages = messages + 1 WHERE id = $1 \
     RETURNING messages";
const INSERT: &str =
    "INSERT INTO bare_message (context_id, seq, role, content, created_at) VALUES ($1, $2, 'user', $3, $4)";
const EMIT: &str = "INSERT INTO bare_outbox (id, envelope) VALUES ($1, $2)";

macro_rules! bare {
    ($(#[$doc:meta])* $name:ident, $pool:ty, $begin:literal) => {
        $(#[$doc])*
        pub(super) struct $name($pool);

        impl $name {
            /// As many new contexts.
            pub(super) async fn contexts(&self, count: usize) -> Result<Vec<String>, Failure> {
                let mut ids = Vec::with_capacity(count);
                for _ in 0..count {
                    let id = uuid::Uuid::now_v7().to_string();
                    sqlx::query(CREATE).bind(&id).execute(&self.0).await?;
                    ids.push(id);
                }
                Ok(ids)
            }

            pub(super) async fn append(&self, context: &str) -> Result<(), Failure> {
                let mut tx = self.0.begin_with($begin).await?;
                let seq: i64 = sqlx::query_scalar(GROW).bind(context).fetch_one(&mut *tx).await?;
                let now = SystemClock.now().as_micros();
                sqlx::query(INSERT)
                    .bind(context)
                    .bind(seq)
                    .bind(TEXT)
                    .bind(now)
                    .execute(&mut *tx)
                    .await?;
                let id = uuid::Uuid::now_v7().to_string();
                let event = event(&id, context, seq);
                sqlx::query(EMIT).bind(id).bind(event).execute(&mut *tx).await?;
                Ok(tx.commit().await?)
            }

            pub(super) async fn close(self) {
                self.0.close().await;
            }
        }
    };
}

bare! {
    /// One file with one writer, as SQLite has no more.
    Sqlite, SqlitePool, "BEGIN IMMEDIATE"
}

bare! {
    /// A few connections to one database.
    Postgres, PgPool, "BEGIN"
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
        let pool =
            SqlitePoolOptions::new().max_connections(1).test_before_acquire(false).connect_with(options);
        let pool = pool.await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self(pool))
    }
}

impl Postgres {
    /// Makes the tables in the database at `url`.
    pub(super) async fn open(url: PgConnectOptions) -> Result<Self, Failure> {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        let pool = options.connect_with(url.disable_statement_logging()).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self(pool))
    }
}

/// A change as CloudEvents have it.
fn event(id: &str, context: &str, seq: i64) -> String {
    serde_json::json!({
        "specversion": "1.0", "id": id, "type": "com.mcp.tenant.context.updated", "source": "bare",
        "subject": format!("bench/{context}"), "datacontenttype": "application/json",
        "data": {"context_id": context, "first_seq": seq, "last_seq": seq},
    })
    .to_string()
}
