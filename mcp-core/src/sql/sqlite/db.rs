//! One database file: made and migrated under a lock, then one writer and a few readers.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, Sqlite, SqliteConnection,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqlitePool},
};

use super::{SqliteConfig, migrate};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::{
        Begun,
        fault::{OrFault, fault},
        migrations::{Plan, Set},
    },
};

/// How long to wait for another process that is making or migrating a file.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// One open database file.
#[derive(Debug)]
pub(crate) struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Db {
    /// Opens the file, brought up to date. Only `create` makes one that is missing.
    pub(crate) async fn open(
        config: &SqliteConfig,
        path: &Path,
        plan: &Plan,
        set: Set,
        create: bool,
    ) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(create)
            .foreign_keys(true)
            .busy_timeout(config.wait)
            .thread_name(|id| format!("sqlite-{id}"))
            .disable_statement_logging();
        // What is destroyed in the control tables, wrapped data keys above all, is overwritten.
        let options = if set == Set::Control { options.pragma("secure_delete", "FAST") } else { options };
        prepare(&config.directory, &options, plan, set).await?;
        Ok(Self {
            writer: pool(config, 1).connect_lazy_with(options.clone()),
            readers: pool(config, config.readers).connect_lazy_with(options.pragma("query_only", "ON")),
        })
    }

    /// Begins a write. `IMMEDIATE`, as a transaction that turns into a write later is refused at once when
    /// another writes, whatever the timeout.
    pub(crate) async fn write(&self) -> Result<Begun<Sqlite>> {
        begin(&self.writer, "BEGIN IMMEDIATE").await
    }

    /// Begins a read: a view of the last commit, which later commits do not change.
    pub(crate) async fn read(&self) -> Result<Begun<Sqlite>> {
        begin(&self.readers, "BEGIN").await
    }

    /// Moves what is in the write-ahead log into the file and empties the log, so that what was overwritten in the
    /// one does not go on in the other.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        let mut conn = self.writer.acquire().await.or_fault("sql.checkpoint")?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut *conn)
            .await
            .or_fault("sql.checkpoint")?;
        Ok(())
    }

    /// Waits for the transactions that are open, then closes the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn begin(pool: &SqlitePool, statement: &'static str) -> Result<Begun<Sqlite>> {
    let conn = pool.acquire().await.or_fault("sql.begin")?;
    Begun::begin(conn, statement.into_sql_str(), true).await.or_fault("sql.begin")
}

fn pool(config: &SqliteConfig, connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(config.wait)
        .idle_timeout(config.idle)
        // A file that is open does not go stale, and the ping would cost as much as a read.
        .test_before_acquire(false)
}

/// Sets WAL and applies migrations, once, under a lock that other processes honour too: the first writes of
/// two processes to a new file would otherwise meet.
async fn prepare(directory: &Path, options: &SqliteConnectOptions, plan: &Plan, set: Set) -> Result<()> {
    let lock = lock(directory.join("init.lock")).await?;
    let mut conn = options.connect().await.map_err(|error| missing_or(error, options))?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut conn).await.or_fault("sql.open")?;
    if !migrate::is_current(&mut conn, plan, set).await? {
        migrate::apply(&mut conn, plan, set).await?;
    }
    close(conn).await?;
    drop(lock);
    Ok(())
}

async fn close(conn: SqliteConnection) -> Result<()> {
    conn.close().await.or_fault("sql.open")
}

fn missing_or(error: sqlx::Error, options: &SqliteConnectOptions) -> Error {
    if options.get_filename().exists() {
        return fault("sql.open", error);
    }
    Error::new(ErrorKind::Corrupted, "sql.open", "the database file is gone; restore it from a backup")
        .with_context("file", options.get_filename().display())
}

async fn lock(path: PathBuf) -> Result<File> {
    let broken = |error: std::io::Error, path: &Path| {
        Error::unavailable("sql.open", "the data directory cannot be locked")
            .with_context("file", path.display())
            .with_source(error)
    };
    let name = path.clone();
    let open = move || OpenOptions::new().create(true).truncate(false).write(true).open(name);
    let opened = tokio::task::spawn_blocking(open).await.map_err(std::io::Error::other).flatten();
    let file = opened.map_err(|error| broken(error, &path))?;
    let locked = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                // File locks cannot be awaited; whoever has it holds it for milliseconds.
                Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(TryLockError::Error(error)) => return Err(broken(error, &path)),
            }
        }
    };
    tokio::time::timeout(LOCK_WAIT, locked).await.map_err(|_| {
        Error::unavailable("sql.open", "another process holds the data directory's lock; try again")
            .with_context("file", path.display())
    })??;
    Ok(file)
}
