//! One subscriber: a session, or the stream of a stateless client.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use tokio::sync::Notify;

use super::feed::Subscription;
use crate::jsonrpc::{Fault, code};

/// What one client subscribed to, and what it has not been told yet.
///
/// Updates of a resource that nobody took yet are one: they say no more than that it should be read again.
#[derive(Debug)]
pub(in crate::gateway) struct Subscriber {
    max: usize,
    own: Mutex<HashMap<Arc<str>, Subscription>>,
    updated: Mutex<BTreeSet<Arc<str>>>,
    bell: Notify,
    /// Whether somebody sees to it that an unused session lets go of its subscriptions.
    pub(super) is_watched: AtomicBool,
}

impl Subscriber {
    pub(in crate::gateway) fn new(max: usize) -> Self {
        Self {
            max,
            own: Mutex::default(),
            updated: Mutex::default(),
            bell: Notify::new(),
            is_watched: AtomicBool::new(false),
        }
    }

    /// The next resource of its own that was updated.
    ///
    /// # Cancellation
    /// Safe: a URI is taken out only when it is returned.
    pub(in crate::gateway) async fn updated(&self) -> Arc<str> {
        loop {
            if let Some(uri) = lock(&self.updated).pop_first() {
                return uri;
            }
            self.bell.notified().await;
        }
    }

    /// Notes that a resource was updated.
    pub(in crate::gateway) fn tell(&self, uri: &Arc<str>) {
        lock(&self.updated).insert(uri.clone());
        self.bell.notify_one();
    }

    pub(super) fn has(&self, uri: &str) -> bool {
        lock(&self.own).contains_key(uri)
    }

    /// # Errors
    /// -32600 where one more is too many.
    pub(super) fn check_room(&self) -> Result<(), Fault> {
        if lock(&self.own).len() < self.max {
            return Ok(());
        }
        let text = format!(
            "more than {} subscriptions of one client; unsubscribe from what is not needed",
            self.max
        );
        Err(Fault::new(code::INVALID_REQUEST, text))
    }

    /// Keeps a subscription that the server granted.
    ///
    /// # Errors
    /// As [`check_room`](Self::check_room), which others may have filled meanwhile.
    pub(super) fn keep(&self, subscription: Subscription) -> Result<(), Fault> {
        let mut own = lock(&self.own);
        let is_known = own.contains_key(&subscription.uri);
        if !is_known && own.len() < self.max {
            own.insert(subscription.uri.clone(), subscription);
            return Ok(());
        }
        // Before the end of the subscription, which takes another lock.
        drop(own);
        if is_known { Ok(()) } else { self.check_room() }
    }

    /// Gives a subscription up; `false` where there was none.
    pub(super) fn drop_one(&self, uri: &str) -> bool {
        let subscription = lock(&self.own).remove(uri);
        lock(&self.updated).remove(uri);
        subscription.is_some()
    }

    /// Gives everything up.
    pub(super) fn drop_all(&self) {
        let all = std::mem::take(&mut *lock(&self.own));
        drop(all);
        lock(&self.updated).clear();
    }
}

fn lock<T>(data: &Mutex<T>) -> MutexGuard<'_, T> {
    data.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn updates_that_wait_are_one_for_each_resource() {
        let subscriber = Subscriber::new(9);
        let (a, b): (Arc<str>, Arc<str>) = ("test://a".into(), "test://b".into());
        for uri in [&b, &a, &b, &b] {
            subscriber.tell(uri);
        }
        assert_eq!(subscriber.updated().await, a);
        assert_eq!(subscriber.updated().await, b);
        let mut next = std::pin::pin!(subscriber.updated());
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        subscriber.tell(&a);
        assert_eq!(next.await, a);
    }
}
