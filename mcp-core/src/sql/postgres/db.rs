//! One database: a pool for one role, and transactions with everything set for them alone.

use std::time::Duration;

use sqlx::{
    ConnectOptions, Postgres, SqlStr,
    pool::PoolOptions,
    postgres::{PgConnectOptions, PgPool},
};

use super::PgConfig;
use crate::{
    error::Result,
    sql::{
        Begun,
        fault::{OrFault, is_cut},
        ident::{self, Part},
    },
};

/// Statements that a connection keeps by name; the one that was used longest ago goes first.
const KEPT_STATEMENTS: usize = 64;

/// One database, as one role.
#[derive(Debug)]
pub(crate) struct Db {
    pool: PgPool,
    /// Whether a connection is a server session, and the same one each time.
    prepares: bool,
    connections: u32,
}

/// What a transaction begins with, in one message: a round trip each would cost as much as what it is there for. The
/// temporary schema, named last, cannot shadow a table.
macro_rules! begin {
    ($mode:literal, $then:literal) => {
        concat!(
            "BEGIN ISOLATION LEVEL ",
            $mode,
            "; SET LOCAL app.tenant_id = {}; SET LOCAL search_path = {}, pg_temp; SET LOCAL statement_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}",
            $then
        )
    };
}

const WRITE: &str = begin!("READ COMMITTED READ WRITE", "");
/// The lock ends with the transaction. It is waited for before the first statement, which sees what came before.
const WRITE_IN_TURN: &str =
    begin!("READ COMMITTED READ WRITE", "; SELECT pg_advisory_xact_lock(hashtextextended({}, 0))");
const READ: &str = begin!("REPEATABLE READ READ ONLY", "");

/// What is set for one transaction. Nothing is ever set for a session: behind PgBouncer the next transaction
/// may run on another.
pub(crate) struct Local<'a> {
    /// The tenant whose rows may be touched; `None` on the control tables.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) schema: &'a str,
    pub(crate) statement_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Local<'_> {
    fn parts(&self) -> [Part<'_>; 4] {
        [
            Part::Text(self.tenant.unwrap_or_default()),
            Part::Identifier(self.schema),
            Part::Number(millis(self.statement_timeout)),
            Part::Number(millis(self.idle_timeout)),
        ]
    }
}

impl Db {
    pub(crate) fn new(config: &PgConfig, options: PgConnectOptions, connections: u32) -> Self {
        let pool = PoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(config.wait)
            .idle_timeout(config.idle)
            // One that was cut is found by `begin`, without asking each before.
            .test_before_acquire(false);
        // Without a cache, only `query` makes sure that no statement gets a name.
        let kept = if config.named_statements { KEPT_STATEMENTS } else { 0 };
        let options = options.statement_cache_capacity(kept).disable_statement_logging();
        Self { pool: pool.connect_lazy_with(options), prepares: config.named_statements, connections }
    }

    pub(crate) async fn write(&self, local: &Local<'_>) -> Result<Begun<Postgres>> {
        self.begin(ident::sql_of(WRITE, &local.parts())).await
    }

    /// As [`write`](Self::write), when no other transaction has this turn.
    pub(crate) async fn write_in_turn(&self, local: &Local<'_>, turn: &str) -> Result<Begun<Postgres>> {
        let [tenant, schema, statement, idle] = local.parts();
        self.begin(ident::sql_of(WRITE_IN_TURN, &[tenant, schema, statement, idle, Part::Text(turn)])).await
    }

    pub(crate) async fn read(&self, local: &Local<'_>) -> Result<Begun<Postgres>> {
        self.begin(ident::sql_of(READ, &local.parts())).await
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    async fn begin(&self, begin: SqlStr) -> Result<Begun<Postgres>> {
        // Of the pool's connections each may have been cut while nobody used it. Nothing has happened then, and
        // the next is tried.
        let mut stale = self.connections;
        loop {
            let conn = self.pool.acquire().await.or_fault("sql.begin")?;
            match Begun::begin(conn, begin.clone(), self.prepares).await {
                Err(error) if stale > 0 && is_cut(&error) => stale -= 1,
                begun => return begun.or_fault("sql.begin"),
            }
        }
    }
}

/// Zero would mean "no limit".
fn millis(time: Duration) -> u64 {
    time.as_millis().clamp(1, i32::MAX as u128) as u64
}
