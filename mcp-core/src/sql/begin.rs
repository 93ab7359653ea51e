//! Beginning and ending transactions so that no cancellation leaves one open.
//!
//! sqlx 0.9.0 can return a connection with an open transaction to its pool when a `begin` is cancelled
//! between sending it and reading the answer. So a begin is never cancelled: if its caller goes, a task brings it
//! to its end, and the transaction is dropped there and rolls back. Only then, as a task for each begin and each
//! commit would cost more than some statements do.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::runtime::Handle;
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
    let work: Work<T> = Box::pin(tasks.track_future(work));
    Finished { work: Some(work), runtime: Handle::current() }.await
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Polls its work where it is awaited; what is left of it when this is dropped goes on in a task, which the work's
/// tracker waits for.
struct Finished<T: Send + 'static> {
    /// `None` once it is done, or has panicked.
    work: Option<Work<T>>,
    runtime: Handle,
}

impl<T: Send + 'static> Future for Finished<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Back in its place only if it is to be polled again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finished<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(work);
        }
    }
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_half_way_is_finished_and_waited_for() {
        let tasks = TaskTracker::new();
        let (go, wait) = oneshot::channel::<()>();
        let (done, mut seen) = oneshot::channel::<()>();
        let work = async move {
            wait.await.ok();
            done.send(()).ok();
            Ok(())
        };
        assert!(uncancelled(&tasks, "t", work).now_or_never().is_none(), "it waits");
        assert!(seen.try_recv().is_err());
        go.send(()).unwrap();
        tasks.close();
        tasks.wait().await;
        seen.try_recv().unwrap();
        let late = uncancelled(&tasks, "t", async { Ok(()) }).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
