//! The SQL kernel's suite on SQLite, in both of its isolation modes, and on kernels broken on purpose.
// `cfg(test)` tells the lints that helpers are tests, too.
#![cfg(test)]

use std::{path::PathBuf, sync::Arc};

use mcp_core::{
    Error,
    clock::SystemClock,
    conformance::{Fault, Faulty, PROBE, SqlHarness, Subject, run_sql},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

async fn open(directory: PathBuf, mode: IsolationMode) -> mcp_core::Result<SqliteKernel> {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![mode];
    SqliteKernel::open(config, &[PROBE], Arc::new(SystemClock)).await
}

/// What is open in the files: no other connection can write while a transaction that writes is, and none can
/// begin the log anew while a reader is that reads in it.
async fn open_transactions(files: [PathBuf; 2]) -> mcp_core::Result<u64> {
    let mut open = 0;
    for file in files {
        open += open_in(file).await?;
    }
    Ok(open)
}

async fn open_in(file: PathBuf) -> mcp_core::Result<u64> {
    let away = |error: sqlx::Error| Error::internal("test", "cannot look").with_source(error);
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(std::time::Duration::ZERO);
    let mut conn = options.connect().await.map_err(away)?;
    let free = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut conn).await.is_ok();
    let restart = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)");
    let busy = restart.fetch_one(&mut conn).await.map_err(away)?;
    conn.close().await.map_err(away)?;
    Ok(u64::from(!free || busy != 0))
}

fn harness<S: Subject>(
    directory: &std::path::Path,
    mode: IsolationMode,
    wrap: impl Fn(SqliteKernel) -> S + Send + Sync + Clone + 'static,
) -> SqlHarness<S> {
    let (to_open, to_look) = (directory.to_owned(), directory.to_owned());
    SqlHarness {
        open: Box::new(move || {
            let (directory, wrap) = (to_open.clone(), wrap.clone());
            Box::pin(async move { Ok(wrap(open(directory, mode).await?)) })
        }),
        open_transactions: Box::new(move |tenant| {
            let of_tenant = match mode {
                IsolationMode::Row => "shared.db".to_owned(),
                _ => format!("tenants/{tenant}.db"),
            };
            Box::pin(open_transactions(["control.db".to_owned(), of_tenant].map(|file| to_look.join(file))))
        }),
        mode,
        guarded: mode == IsolationMode::Database,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_a_file_per_tenant() {
    let directory = tempfile::tempdir().unwrap();
    let report = run_sql(&harness(directory.path(), IsolationMode::Database, |kernel| kernel)).await;
    assert_eq!(report.failures(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_shared_tables() {
    let directory = tempfile::tempdir().unwrap();
    let report = run_sql(&harness(directory.path(), IsolationMode::Row, |kernel| kernel)).await;
    assert_eq!(report.failures(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_each_fault() {
    for (fault, case) in [
        (Fault::StaleTenant, "begins_for_its_tenant"),
        (Fault::MakesPlaces, "finds_no_tenant_without_placement"),
        (Fault::LeaksOnCancel, "cancelled_anywhere_leaves_nothing_open"),
        (Fault::LeaksReads, "cancelled_reads_and_rollbacks_leave_nothing_open"),
        (Fault::IgnoresDeadline, "begins_nothing_after_the_deadline"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mode = IsolationMode::Database;
        let broken = harness(directory.path(), mode, move |kernel| Faulty::new(kernel, fault, mode));
        let report = run_sql(&broken).await;
        assert!(report.failed(case), "{fault:?} was not found by {case}: {:?}", report.failures());
    }
}
