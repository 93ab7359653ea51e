//! What was asked of store and vault, kept in memory for a stated time: bounded, asked once by many, and held
//! while it cannot be asked again.

use std::{
    future::Future,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use moka::future::Cache;
use tokio::{sync::Semaphore, time::Instant};

use crate::error::{Error, ErrorKind, Result, Retry};

/// How long a failure is answered to others before it is tried again.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// How long a value that could not be confirmed is used before that is tried again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Values by key. A value is fresh for `ttl` after it was confirmed. From then on one caller at a time asks
/// again, and while that cannot be answered the value goes on for `hold`. A refusal ends it at once.
pub(super) struct Slots<K, V> {
    slots: Cache<K, Arc<Slot<V>>>,
    ttl: Duration,
    hold: Duration,
}

impl<K, V> std::fmt::Debug for Slots<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("ttl", &self.ttl).field("hold", &self.hold).finish_non_exhaustive()
    }
}

/// One value. Whoever removes it from [`Slots`] has cut it off from those who come later: what an earlier
/// question brings afterwards reaches only who asked it.
pub(super) struct Slot<V> {
    state: RwLock<State<V>>,
    /// One asks, the others wait or do without. A permit, and so given back wherever its holder is dropped.
    turn: Semaphore,
}

struct State<V> {
    held: Option<Held<V>>,
    failed: Option<Failed>,
}

struct Held<V> {
    value: V,
    confirmed_at: Instant,
    ask_at: Instant,
}

struct Failed {
    at: Instant,
    kind: ErrorKind,
    retry: Retry,
    operation: &'static str,
    message: String,
}

enum Look<V> {
    /// Good as it is.
    Fresh(V),
    /// May be used if nothing better is to be had.
    Stale(V),
    /// Was asked for a moment ago, in vain.
    Failed(Error),
    Nothing,
}

impl<K, V> Slots<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(capacity: u64, ttl: Duration, hold: Duration) -> Self {
        Self { slots: Cache::new(capacity), ttl, hold }
    }

    /// The value, from memory or from `load`.
    ///
    /// # Cancellation
    /// `load` is dropped with it, and the next in turn loads.
    pub(super) async fn get<F>(&self, key: &K, load: impl FnOnce() -> F + Send) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send,
    {
        let slot = self.slot(key).await;
        let turn = match (slot.look(self.hold), slot.turn.try_acquire()) {
            (Look::Fresh(value), _) | (Look::Stale(value), Err(_)) => return Ok(value),
            (Look::Failed(error), _) => return Err(error),
            (_, Ok(turn)) => turn,
            (Look::Nothing, Err(_)) => slot
                .turn
                .acquire()
                .await
                .map_err(|error| Error::internal("key.load", "the turn is gone").with_source(error))?,
        };
        // Whoever had the turn before may have brought it.
        match slot.look(self.hold) {
            Look::Fresh(value) => return Ok(value),
            Look::Failed(error) => return Err(error),
            Look::Stale(_) | Look::Nothing => {}
        }
        let answer = match load().await {
            Ok(value) => {
                slot.confirm(value.clone(), self.ttl);
                Ok(value)
            }
            Err(error) => slot.put_off(error, self.hold),
        };
        // Only now: the next in turn must find the answer in its place.
        drop(turn);
        answer
    }

    /// The place of a value, to be filled by [`Slot::confirm`].
    pub(super) async fn slot(&self, key: &K) -> Arc<Slot<V>> {
        let empty = async {
            let state = RwLock::new(State { held: None, failed: None });
            Arc::new(Slot { state, turn: Semaphore::new(1) })
        };
        self.slots.get_with_by_ref(key, empty).await
    }

    /// Fills a place.
    pub(super) fn fill(&self, slot: &Slot<V>, value: V) {
        slot.confirm(value, self.ttl);
    }

    pub(super) async fn forget(&self, key: &K) {
        self.slots.invalidate(key).await;
    }
}

impl<V: Clone> Slot<V> {
    fn look(&self, hold: Duration) -> Look<V> {
        let (state, now) = (self.state.read().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if let Some(held) = &state.held {
            if now < held.ask_at {
                return Look::Fresh(held.value.clone());
            }
            if now.duration_since(held.confirmed_at) < hold {
                return Look::Stale(held.value.clone());
            }
        }
        match &state.failed {
            Some(failed) if now.duration_since(failed.at) < FAILED_FOR => Look::Failed(failed.error()),
            _ => Look::Nothing,
        }
    }

    fn confirm(&self, value: V, ttl: Duration) {
        let now = Instant::now();
        let held = Some(Held { value, confirmed_at: now, ask_at: now + ttl });
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { held, failed: None };
    }

    /// What there is to answer when asking failed: the value as it was for as long as it is held, if the
    /// failure only passes; else the failure.
    fn put_off(&self, error: Error, hold: Duration) -> Result<V> {
        let now = Instant::now();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.held = state
            .held
            .take()
            .filter(|held| passes(&error) && now.duration_since(held.confirmed_at) < hold)
            .map(|held| Held { ask_at: (now + ASK_AGAIN_AFTER).min(held.confirmed_at + hold), ..held });
        if let Some(held) = &state.held {
            metrics::counter!("mcp_data_keys_held_total").increment(1);
            return Ok(held.value.clone());
        }
        state.failed = Some(Failed {
            at: now,
            kind: error.kind(),
            retry: error.retry(),
            operation: error.operation(),
            message: error.message().to_owned(),
        });
        Err(error)
    }
}

impl Failed {
    fn error(&self) -> Error {
        Error::new(self.kind, self.operation, self.message.clone()).with_retry(self.retry)
    }
}

/// Whether the failure says nothing about the value, only about whoever was asked.
pub(super) fn passes(error: &Error) -> bool {
    use ErrorKind::{Cancelled, DeadlineExceeded, RateLimited, Unavailable, Upstream};
    matches!(error.kind(), Unavailable | DeadlineExceeded | Upstream | RateLimited | Cancelled)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    const HOLD: Duration = Duration::from_secs(900);

    fn slots() -> Slots<&'static str, u32> {
        Slots::new(10, TTL, HOLD)
    }

    fn away() -> Error {
        Error::unavailable("test", "away")
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_ask_once() {
        let (slots, asked) = (slots(), AtomicU32::new(0));
        let ask = || {
            slots.get(&"a", || async {
                tokio::task::yield_now().await;
                Ok(asked.fetch_add(1, Ordering::SeqCst))
            })
        };
        let answers = futures_util::future::join_all((0..16).map(|_| ask())).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == 0));
        tokio::time::advance(TTL - Duration::from_millis(1)).await;
        assert_eq!(ask().await.unwrap(), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(ask().await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_but_the_asker_waits_while_a_value_is_held() {
        let slots = slots();
        slots.get(&"a", async || Ok(1)).await.unwrap();
        tokio::time::advance(TTL).await;
        let (answer, question) = tokio::sync::oneshot::channel();
        let slow = slots.get(&"a", || async { question.await.map_err(|_| away()) });
        let quick = slots.get(&"a", async || Err(away()));
        let (slow, ()) = tokio::join!(slow, async {
            assert_eq!(quick.await.unwrap(), 1);
            answer.send(2).unwrap();
        });
        assert_eq!(slow.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_held_for_the_stated_time_and_no_longer() {
        let slots = slots();
        slots.get(&"a", async || Ok(1)).await.unwrap();
        tokio::time::advance(HOLD - Duration::from_millis(1)).await;
        assert_eq!(slots.get(&"a", async || Err(away())).await.unwrap(), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        let error = slots.get(&"a", async || Err(away())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_what_is_held() {
        let slots = slots();
        slots.get(&"a", async || Ok(1)).await.unwrap();
        tokio::time::advance(TTL).await;
        let refused = slots.get(&"a", async || Err(Error::permission_denied("test", "no"))).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        tokio::time::advance(FAILED_FOR).await;
        assert!(slots.get(&"a", async || Err(away())).await.is_err(), "it came back");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_waited_for_a_failure_do_not_each_repeat_it() {
        let (slots, asked) = (slots(), AtomicU32::new(0));
        let ask = || {
            slots.get(&"a", || async {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                Err(away())
            })
        };
        let answers = futures_util::future::join_all((0..16).map(|_| ask())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(FAILED_FOR).await;
        assert_eq!(slots.get(&"a", async || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_asker_leaves_the_turn_to_the_next() {
        let slots = slots();
        let never = slots.get(&"a", std::future::pending);
        assert!(tokio::time::timeout(Duration::from_secs(1), never).await.is_err());
        assert_eq!(slots.get(&"a", async || Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_forgotten_is_not_brought_back_by_an_earlier_question() {
        let slots = slots();
        let (answer, question) = tokio::sync::oneshot::channel();
        let earlier = slots.get(&"a", || async { question.await.map_err(|_| away()) });
        let (earlier, ()) = tokio::join!(earlier, async {
            slots.forget(&"a").await;
            answer.send(1).unwrap();
        });
        assert_eq!(earlier.unwrap(), 1);
        assert_eq!(slots.get(&"a", async || Ok(2)).await.unwrap(), 2);
    }
}
