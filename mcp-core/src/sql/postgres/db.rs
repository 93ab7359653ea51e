//! One database: a pool for one role, and transactions with everything set for them alone.

use std::time::Duration;

use sqlx::{
    ConnectOptions, Postgres, Transaction,
    pool::PoolOptions,
    postgres::{PgConnectOptions, PgPool},
};

use super::{PgConfig, query};
use crate::{
    error::Result,
    sql::{fault::OrFault, ident},
};

/// One database, as one role.
#[derive(Debug)]
pub(crate) struct Db(PgPool);

/// What is set for one transaction. Nothing is ever set for a session: behind PgBouncer the next transaction
/// may run on another.
pub(crate) struct Local<'a> {
    /// The tenant whose rows may be touched; `None` on the control tables.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) schema: &'a str,
    pub(crate) statement_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Db {
    pub(crate) fn new(config: &PgConfig, options: PgConnectOptions, connections: u32) -> Self {
        let pool = PoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(config.wait)
            .idle_timeout(config.idle)
            .after_release(|conn, _| {
                Box::pin(async move {
                    // Ends whatever was left open. The BEGIN keeps the server from warning, on every
                    // release, that there was nothing; where it fails, the connection is thrown away.
                    sqlx::raw_sql("BEGIN; ROLLBACK").execute(&mut *conn).await?;
                    Ok(true)
                })
            });
        // Statements are not cached by name; `query` makes sure that none gets one.
        Self(pool.connect_lazy_with(options.statement_cache_capacity(0).disable_statement_logging()))
    }

    pub(crate) async fn write(&self, local: &Local<'_>) -> Result<Transaction<'static, Postgres>> {
        self.begin("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", local).await
    }

    pub(crate) async fn read(&self, local: &Local<'_>) -> Result<Transaction<'static, Postgres>> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", local).await
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }

    async fn begin(&self, begin: &'static str, local: &Local<'_>) -> Result<Transaction<'static, Postgres>> {
        let mut tx = self.0.begin_with(begin).await.or_fault("sql.begin")?;
        // The temporary schema, named last, cannot shadow a table.
        query(
            "SELECT set_config('app.tenant_id', $1, true), set_config('search_path', $2, true),
                    set_config('statement_timeout', $3, true),
                    set_config('idle_in_transaction_session_timeout', $4, true)",
        )
        .bind(local.tenant.unwrap_or_default())
        .bind(format!("{}, pg_temp", ident::quoted(local.schema)))
        .bind(millis(local.statement_timeout))
        .bind(millis(local.idle_timeout))
        .execute(&mut *tx)
        .await
        .or_fault("sql.begin")?;
        Ok(tx)
    }
}

/// Zero would mean "no limit".
fn millis(time: Duration) -> String {
    time.as_millis().clamp(1, i32::MAX as u128).to_string()
}
