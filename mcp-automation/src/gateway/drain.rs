//! Stopping without cutting calls off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is in flight, and whether more may begin.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// Cancelled when draining begins: streams that wait for nothing end.
    pub(super) begun: CancellationToken,
    /// Cancelled when its time is up: calls in flight end.
    pub(super) over: CancellationToken,
    in_flight: AtomicUsize,
    idle: Notify,
}

/// One call in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Drain>);

impl Drain {
    /// Enters a call; `None` once draining has begun.
    pub(super) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        // Counted before asking, so that `run` sees every call that was let in.
        let entered = InFlight(self.clone());
        (!self.begun.is_cancelled()).then_some(entered)
    }

    /// Lets nothing more begin and waits for what is in flight, at most for `bound`; then ends it. Returns
    /// how many calls were cut off.
    pub(super) async fn run(&self, bound: Duration) -> usize {
        self.begun.cancel();
        let all_done = async {
            loop {
                let idle = self.idle.notified();
                if self.in_flight.load(Ordering::SeqCst) == 0 {
                    return;
                }
                idle.await;
            }
        };
        let left = match tokio::time::timeout(bound, all_done).await {
            Ok(()) => 0,
            Err(_) => self.in_flight.load(Ordering::SeqCst),
        };
        self.over.cancel();
        left
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_calls_and_lets_none_begin() {
        let drain = Arc::new(Drain::default());
        let call = drain.enter().unwrap();
        let draining = tokio::spawn({
            let drain = drain.clone();
            async move { drain.run(Duration::from_secs(5)).await }
        });
        drain.begun.cancelled().await;
        assert!(drain.enter().is_none());
        drop(call);
        assert_eq!(draining.await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn its_time_is_bounded() {
        let drain = Arc::new(Drain::default());
        let _call = drain.enter().unwrap();
        assert_eq!(drain.run(Duration::from_secs(5)).await, 1);
        assert!(drain.over.is_cancelled());
    }
}
