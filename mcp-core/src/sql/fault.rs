//! What the database says, mapped to the one error: here and nowhere else.

use crate::error::{Error, ErrorKind, Result, Retry};

/// Maps a database error in `operation` (`tenant.create`).
///
/// A unique violation becomes `AlreadyExists`, a broken check or reference `Conflict`, a serialization
/// failure or deadlock `Conflict` that may be retried, a refused row or table `PermissionDenied`, a missing
/// row `NotFound`; a timeout, a busy database or a lost connection `Unavailable`; the rest `Internal`. What
/// the database said travels as the source and reaches the log alone.
#[must_use]
pub fn fault(operation: &'static str, error: sqlx::Error) -> Error {
    let (kind, message) = classify(&error);
    let mapped = Error::new(kind, operation, message);
    let transient = kind == ErrorKind::Conflict && is_transient(&error);
    let mapped = if transient { mapped.with_retry(Retry::Maybe) } else { mapped };
    mapped.with_source(error)
}

/// [`fault`] for results: `sqlx::query(…).execute(tx.conn()).await.or_fault("tenant.create")?`.
pub trait OrFault<T> {
    /// The value, or the mapped error.
    ///
    /// # Errors
    /// As [`fault`] maps them.
    fn or_fault(self, operation: &'static str) -> Result<T>;
}

impl<T> OrFault<T> for std::result::Result<T, sqlx::Error> {
    fn or_fault(self, operation: &'static str) -> Result<T> {
        self.map_err(|error| fault(operation, error))
    }
}

fn classify(error: &sqlx::Error) -> (ErrorKind, &'static str) {
    use sqlx::Error as E;
    match error {
        E::RowNotFound => (ErrorKind::NotFound, "there is no such row"),
        E::PoolTimedOut => (ErrorKind::Unavailable, "no database connection became free in time; try again"),
        E::PoolClosed => (ErrorKind::Cancelled, "the platform is shutting down"),
        E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => {
            (ErrorKind::Unavailable, "the connection to the database failed; try again")
        }
        E::Database(inner) if inner.is_unique_violation() => (ErrorKind::AlreadyExists, "it exists already"),
        E::Database(inner) if inner.is_foreign_key_violation() || inner.is_check_violation() => {
            (ErrorKind::Conflict, "it breaks a rule of the stored data")
        }
        E::Database(inner) => inner.code().map_or(UNKNOWN, |code| by_code(&code)),
        _ => UNKNOWN,
    }
}

const UNKNOWN: (ErrorKind, &str) = (ErrorKind::Internal, "the database refused the statement");

/// SQLSTATEs have five characters, SQLite's result codes are decimal and shorter.
fn by_code(code: &str) -> (ErrorKind, &'static str) {
    match code {
        "40001" | "40P01" => (ErrorKind::Conflict, "another transaction was first; try again"),
        "42501" => (ErrorKind::PermissionDenied, "the database forbids this"),
        "57014" => (ErrorKind::DeadlineExceeded, "the statement took longer than its deadline"),
        "25P03" | "57P05" => (ErrorKind::DeadlineExceeded, "the transaction was idle for too long"),
        "53300" | "57P01" | "57P02" | "57P03" | "55P03" => {
            (ErrorKind::Unavailable, "the database is away or full; try again")
        }
        _ if code.len() == 5 && code.starts_with("08") => {
            (ErrorKind::Unavailable, "the connection to the database failed; try again")
        }
        _ => match code.parse::<i32>().map(|code| code & 0xff) {
            // SQLITE_BUSY, SQLITE_LOCKED
            Ok(5 | 6) if code.len() < 5 => (ErrorKind::Unavailable, "the database is busy; try again"),
            // SQLITE_READONLY
            Ok(8) if code.len() < 5 => (ErrorKind::PermissionDenied, "a read transaction cannot write"),
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Ok(11 | 26) if code.len() < 5 => (ErrorKind::Corrupted, "the database file is damaged"),
            // SQLITE_FULL
            Ok(13) if code.len() < 5 => (ErrorKind::Unavailable, "the disk is full"),
            _ => UNKNOWN,
        },
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|inner| inner.code());
    code.is_some_and(|code| code == "40001" || code == "40P01")
}

/// Whether the connection, and no statement, is what failed: the server or a pooler has closed it.
#[cfg(feature = "postgres")]
pub(crate) fn is_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(inner) => inner.code().is_some_and(|code| {
            matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05") || code.starts_with("08")
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_backends_are_told_apart() {
        assert_eq!(by_code("5").0, ErrorKind::Unavailable);
        assert_eq!(by_code("517").0, ErrorKind::Unavailable); // SQLITE_BUSY_SNAPSHOT
        assert_eq!(by_code("1032").0, ErrorKind::PermissionDenied); // SQLITE_READONLY_DBMOVED
        assert_eq!(by_code("40001").0, ErrorKind::Conflict);
        assert_eq!(by_code("08006").0, ErrorKind::Unavailable);
        assert_eq!(by_code("42703").0, ErrorKind::Internal);
    }

    #[test]
    fn the_databases_words_reach_the_log_only() {
        let error = fault("x.y", sqlx::Error::Configuration("password=hunter2".into()));
        assert!(!error.to_string().contains("hunter2"));
        assert!(error.report().contains("hunter2"));
    }
}
