//! Beginning and ending transactions so that no cancellation leaves one open.
//!
//! sqlx 0.9.0 can return a connection with an open transaction to its pool when a `begin` is cancelled
//! between sending it and reading the answer. So a begin runs in a task that is not cancelled: if its caller
//! is gone by then, the finished transaction is dropped there and rolls back.

use std::{future::Future, time::Duration};

use tokio_util::task::TaskTracker;

use crate::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

/// Runs `work` to its end, even if the returned future is dropped.
pub(crate) async fn uncancelled<T, F>(tasks: &TaskTracker, operation: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    if tasks.is_closed() {
        return Err(Error::new(ErrorKind::Cancelled, operation, "the platform is shutting down"));
    }
    tasks
        .spawn(work)
        .await
        .unwrap_or_else(|error| Err(Error::internal(operation, "the task failed").with_source(error)))
}

/// [`uncancelled`], but waits at most `wait`; what comes later is dropped, and so rolled back.
pub(crate) async fn begun<T, F>(tasks: &TaskTracker, wait: Duration, work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let late = |_| {
        let message = "no transaction could be begun before the deadline; try again";
        Error::new(ErrorKind::DeadlineExceeded, "sql.begin", message)
    };
    tokio::time::timeout(wait, uncancelled(tasks, "sql.begin", work)).await.map_err(late)?
}

/// How long the scope's caller will wait, at most `cap`.
///
/// # Errors
/// `DeadlineExceeded` if that is no time at all.
pub(crate) fn wait_of(scope: &Scope, cap: Duration) -> Result<Duration> {
    let wait = scope.remaining(cap);
    if wait.is_zero() {
        return Err(Error::new(ErrorKind::DeadlineExceeded, "sql.begin", "the deadline has passed"));
    }
    Ok(wait)
}
