//! What the clients of one tenant want to hear of one server's resources.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use mcp_core::scope::TenantId;
use tokio::sync::{Notify, oneshot};

use super::subscriber::Subscriber;
use crate::{
    jsonrpc::{Fault, code},
    protocol::ServerName,
};

/// Most resources of one server that a tenant's clients may subscribe to, all together.
const MAX_URIS: usize = 1_000;

/// Whose view of which server.
pub(super) type Key = (TenantId, ServerName);

/// Hears whether the server granted a subscription.
type Granted = oneshot::Sender<Result<(), Fault>>;

/// The wishes of a tenant's clients towards one server; the task that [keeps](super::keep) it fulfils them.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) key: Key,
    wishes: Mutex<Wishes>,
    /// Rung when the wishes have changed.
    pub(super) bell: Notify,
}

#[derive(Debug, Default)]
struct Wishes {
    next: u64,
    uris: HashMap<Arc<str>, Wish>,
}

/// All who want to hear of one resource.
#[derive(Debug, Default)]
struct Wish {
    /// Whether the server has been asked and said yes, on the connection of now.
    is_held: bool,
    members: HashMap<u64, Member>,
}

#[derive(Debug)]
struct Member {
    subscriber: Weak<Subscriber>,
    /// There until the server has granted it once.
    waiting: Option<Granted>,
}

/// One client's part in a wish, given up when dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    feed: Arc<Feed>,
    pub(super) uri: Arc<str>,
    member: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut wishes = self.feed.wishes();
        if let Some(wish) = wishes.uris.get_mut(&self.uri) {
            wish.members.remove(&self.member);
            if wish.members.is_empty() {
                wishes.uris.remove(&self.uri);
            }
        }
        drop(wishes);
        self.feed.bell.notify_one();
    }
}

impl Feed {
    pub(super) fn new(key: Key) -> Self {
        Self { key, wishes: Mutex::default(), bell: Notify::new() }
    }

    /// Adds a wish; the receiver hears what the server says.
    ///
    /// # Errors
    /// -32600 where the tenant has too many at this server.
    pub(super) fn join(
        self: &Arc<Self>,
        uri: &Arc<str>,
        subscriber: &Arc<Subscriber>,
    ) -> Result<(Subscription, oneshot::Receiver<Result<(), Fault>>), Fault> {
        let (waiting, granted) = oneshot::channel();
        let mut wishes = self.wishes();
        if wishes.uris.len() >= MAX_URIS && !wishes.uris.contains_key(uri) {
            let text = format!("more than {MAX_URIS} resources of `{}` are subscribed to", self.key.1);
            return Err(Fault::new(code::INVALID_REQUEST, text));
        }
        let member = wishes.next;
        wishes.next += 1;
        let wish = wishes.uris.entry(uri.clone()).or_default();
        let waiting = match wish.is_held {
            true => {
                // Its receiver is in this function's hands still.
                let _ = waiting.send(Ok(()));
                None
            }
            false => Some(waiting),
        };
        wish.members.insert(member, Member { subscriber: Arc::downgrade(subscriber), waiting });
        drop(wishes);
        self.bell.notify_one();
        Ok((Subscription { feed: self.clone(), uri: uri.clone(), member }, granted))
    }

    /// The resources that somebody wants to hear of.
    pub(super) fn wanted(&self) -> BTreeSet<Arc<str>> {
        self.wishes().uris.keys().cloned().collect()
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.wishes().uris.is_empty()
    }

    /// The server said yes. Who had it on an earlier connection is told of an update: there may have been one
    /// in between.
    pub(super) fn granted(&self, uri: &Arc<str>) {
        let missed = {
            let mut wishes = self.wishes();
            let Some(wish) = wishes.uris.get_mut(uri) else { return };
            let is_news = !std::mem::replace(&mut wish.is_held, true);
            let mut missed = Vec::new();
            for member in wish.members.values_mut() {
                match member.waiting.take() {
                    // Who has gone away meanwhile gives up its part itself.
                    Some(waiting) => drop(waiting.send(Ok(()))),
                    None if is_news => missed.push(member.subscriber.clone()),
                    None => {}
                }
            }
            missed
        };
        tell(missed, uri);
    }

    /// The server said no. Who had it before is told of an update, and finds out by reading.
    pub(super) fn refused(&self, uri: &Arc<str>, fault: &Fault) {
        let Some(wish) = self.wishes().uris.remove(uri) else { return };
        let mut lost = Vec::new();
        for member in wish.members.into_values() {
            match member.waiting {
                Some(waiting) => drop(waiting.send(Err(fault.clone()))),
                None => lost.push(member.subscriber),
            }
        }
        for subscriber in lost.iter().filter_map(Weak::upgrade) {
            subscriber.drop_one(uri);
            subscriber.tell(uri);
        }
    }

    /// The connection is lost or could not be made: who waits hears so, and the rest waits for the next.
    pub(super) fn lost(&self, fault: &Fault) {
        let mut wishes = self.wishes();
        wishes.uris.retain(|_, wish| {
            wish.is_held = false;
            for (_, member) in wish.members.extract_if(|_, member| member.waiting.is_some()) {
                if let Some(waiting) = member.waiting {
                    let _ = waiting.send(Err(fault.clone()));
                }
            }
            !wish.members.is_empty()
        });
    }

    /// The server says that a resource was updated. Who subscribed to it hears that, and who subscribed to one
    /// that it is part of hears that *that* was: nobody learns of a URI that it did not name.
    pub(super) fn updated(&self, uri: &str) {
        self.tell_all(|wanted| wanted == uri || is_part(wanted, uri));
    }

    /// Updates were missed, of whichever resource.
    pub(super) fn missed(&self) {
        self.tell_all(|_| true);
    }

    fn tell_all(&self, is_meant: impl Fn(&str) -> bool) {
        let meant: Vec<_> = {
            let wishes = self.wishes();
            let wishes = wishes.uris.iter().filter(|(wanted, _)| is_meant(wanted));
            let members =
                |wish: &Wish| wish.members.values().map(|member| member.subscriber.clone()).collect();
            wishes.map(|(wanted, wish)| (wanted.clone(), members(wish))).collect()
        };
        for (uri, members) in meant {
            tell(members, &uri);
        }
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Never under the lock: the last to hold a subscriber gives up its parts, which takes the lock.
fn tell(members: Vec<Weak<Subscriber>>, uri: &Arc<str>) {
    for subscriber in members.iter().filter_map(Weak::upgrade) {
        subscriber.tell(uri);
    }
}

/// Whether `uri` is a resource below `whole`.
fn is_part(whole: &str, uri: &str) -> bool {
    uri.strip_prefix(whole).is_some_and(|rest| whole.ends_with('/') || rest.starts_with(['/', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Arc<Feed> {
        let key = (TenantId::parse("acme").unwrap(), ServerName::parse("one").unwrap());
        Arc::new(Feed::new(key))
    }

    fn told(subscriber: &Subscriber) -> Option<String> {
        use futures_util::FutureExt as _;
        subscriber.updated().now_or_never().map(|uri| uri.to_string())
    }

    #[test]
    fn only_what_lies_below_is_part() {
        for (whole, uri, expected) in [
            ("file:///a", "file:///a/b", true),
            ("file:///a/", "file:///a/b", true),
            ("file:///a", "file:///a?x", true),
            ("file:///a", "file:///ab", false),
            ("file:///a/b", "file:///a", false),
        ] {
            assert_eq!(is_part(whole, uri), expected, "{whole} {uri}");
        }
    }

    #[test]
    fn who_subscribed_hears_of_its_own_uri_only() {
        let feed = feed();
        let [ann, bob] = [(); 2].map(|()| Arc::new(Subscriber::new(9)));
        let (part, whole) = (Arc::from("test://a/b"), Arc::from("test://a"));
        let _of_ann = feed.join(&part, &ann).unwrap();
        let _of_bob = feed.join(&whole, &bob).unwrap();
        feed.updated("test://a/b");
        assert_eq!((told(&ann), told(&bob)), (Some("test://a/b".into()), Some("test://a".into())));
        feed.updated("test://a/c");
        assert_eq!((told(&ann), told(&bob)), (None, Some("test://a".into())));
        feed.updated("test://elsewhere");
        assert_eq!((told(&ann), told(&bob)), (None, None));
    }

    #[test]
    fn a_lost_connection_fails_who_waits_and_keeps_who_was_granted() {
        let feed = feed();
        let ann = Arc::new(Subscriber::new(9));
        let (old, new): (Arc<str>, Arc<str>) = ("test://old".into(), "test://new".into());
        let (_kept, mut granted) = feed.join(&old, &ann).unwrap();
        feed.granted(&old);
        assert!(granted.try_recv().unwrap().is_ok());
        let (_waits, mut refused) = feed.join(&new, &ann).unwrap();
        feed.lost(&Fault::new(code::INTERNAL_ERROR, "gone"));
        assert!(refused.try_recv().unwrap().is_err());
        assert_eq!(feed.wanted(), BTreeSet::from([old.clone()]));
        assert_eq!(told(&ann), None);
        feed.granted(&old);
        assert_eq!(told(&ann).as_deref(), Some("test://old"), "it may have changed in between");
    }

    #[test]
    fn nothing_is_left_of_who_has_gone() {
        let feed = feed();
        let ann = Arc::new(Subscriber::new(9));
        let uri = Arc::from("test://a");
        let (subscription, _) = feed.join(&uri, &ann).unwrap();
        feed.granted(&uri);
        ann.keep(subscription).unwrap();
        assert!(!feed.is_unwanted());
        drop(ann);
        assert!(feed.is_unwanted());
    }

    #[test]
    fn a_servers_resources_are_bounded() {
        let feed = feed();
        let ann = Arc::new(Subscriber::new(9));
        let join = |n: usize| feed.join(&Arc::from(format!("test://{n}")), &ann);
        let held: Vec<_> = (0..MAX_URIS).map(|n| join(n).unwrap()).collect();
        assert!(join(MAX_URIS).unwrap_err().message.contains("`one`"));
        join(0).unwrap();
        drop(held);
        assert!(feed.is_unwanted());
    }
}
