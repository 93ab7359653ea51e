//! Cancelling a future at each of its awaits.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// How a future that was cut short ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<T> {
    /// It was dropped while it waited.
    Dropped,
    /// It completed before.
    Completed(T),
}

/// Polls `future` at most `polls` times, and drops it if it is still waiting then.
///
/// With `polls` = 1, 2, 3 … until [`Cut::Completed`] it is cancelled at each of its awaits in turn.
pub async fn cancel_at<F: Future>(polls: usize, future: F) -> Cut<F::Output> {
    Limited { inner: pin!(future), left: polls }.await
}

struct Limited<'a, F> {
    inner: Pin<&'a mut F>,
    left: usize,
}

impl<F: Future> Future for Limited<'_, F> {
    type Output = Cut<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.inner.as_mut().poll(cx) {
            return Poll::Ready(Cut::Completed(value));
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 { Poll::Ready(Cut::Dropped) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_await_is_a_place_to_cut() {
        let work = || async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(cancel_at(1, work()).await, Cut::Dropped);
        assert_eq!(cancel_at(2, work()).await, Cut::Dropped);
        assert_eq!(cancel_at(3, work()).await, Cut::Completed(7));
    }
}
