//! Who hears of which resource's updates.
//!
//! A connection to a server is shared by a tenant's principals, so the server is asked once for each resource
//! that anybody wants, and what it says is handed to those alone who asked for it: a [`Subscriber`] is one
//! session or one stream of a stateless client. A task for each tenant and server keeps the server's side in
//! step, in the server's own era, over restarts too.

mod feed;
mod keep;
mod legacy;
mod line;
mod listen;
mod modern;
mod subscriber;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use mcp_core::Scope;
use serde_json::{Value, json};

pub(super) use listen::wants_resources;
pub(super) use subscriber::Subscriber;

use self::feed::{Feed, Key};
use super::{
    failure,
    guard::Refusal,
    method::Method,
    session::Session,
    shared::{Caller, Shared},
};
use crate::{
    jsonrpc::{Fault, code},
    protocol::ServerName,
};

/// Longest URI that can be subscribed to, in bytes.
const URI_BYTES: usize = 2048;

/// What each tenant wants of each server; what nobody wants takes no memory.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<HashMap<Key, Arc<Feed>>>);

impl Subscriptions {
    /// Ends the feed if nobody wants anything of it.
    fn close(&self, feed: &Feed) -> bool {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = feed.is_unwanted();
        if is_over {
            feeds.remove(&feed.key);
        }
        is_over
    }
}

impl Shared {
    /// Subscribes a session to a resource.
    ///
    /// # Errors
    /// As `resources/read` for a URI that nobody has; -32601 where its server tells of no updates; -32600 for
    /// one too many; what the server answered.
    ///
    /// # Cancellation
    /// Safe: what was not answered is given up again.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        caller: &Caller,
        session: &Arc<Session>,
        uri: &str,
    ) -> Result<(), Refusal> {
        let server =
            self.owner_of_uri(&caller.scope, &caller.endpoint, uri, code::RESOURCE_NOT_FOUND).await?;
        self.may_read(caller, Method::Subscribe, &server, uri).await?;
        self.join(&caller.scope, &server, uri, &session.subscriber).await?;
        self.watch(session);
        Ok(())
    }

    /// Takes a subscription of a session back.
    ///
    /// # Errors
    /// As `resources/read`, where there was none and nobody has the URI.
    pub(super) async fn unsubscribe(
        &self,
        caller: &Caller,
        session: &Session,
        uri: &str,
    ) -> Result<(), Fault> {
        if session.subscriber.drop_one(uri) {
            return Ok(());
        }
        self.owner_of_uri(&caller.scope, &caller.endpoint, uri, code::RESOURCE_NOT_FOUND).await.map(drop)
    }

    async fn join(
        self: &Arc<Self>,
        scope: &Scope,
        server: &ServerName,
        uri: &str,
        subscriber: &Arc<Subscriber>,
    ) -> Result<(), Fault> {
        if subscriber.has(uri) {
            return Ok(());
        }
        if uri.len() > URI_BYTES {
            let text = format!("a `uri` of more than {URI_BYTES} bytes cannot be subscribed to");
            return Err(Fault::new(code::INVALID_PARAMS, text));
        }
        subscriber.check_room()?;
        let upstream =
            self.connect(scope, server).await.map_err(|error| failure::of_server(scope, server, &error))?;
        if upstream.info().capabilities["resources"]["subscribe"] != Value::Bool(true) {
            let text = format!("the server `{server}` does not tell of updates of its resources");
            return Err(Fault::new(code::METHOD_NOT_FOUND, text).with_data(json!({ "server": server })));
        }
        drop(upstream);
        let uri = Arc::from(uri);
        let (subscription, granted) = {
            let mut feeds = self.subscriptions.0.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (scope.tenant().clone(), server.clone());
            let feed = feeds.entry(key.clone()).or_insert_with(|| {
                let feed = Arc::new(Feed::new(key));
                // Its task outlives this request, so it must not have its deadline.
                let scope = Scope::new(scope.tenant().clone(), Arc::new(scope.principal().clone()));
                self.tasks.spawn(keep::run(self.clone(), feed.clone(), scope));
                feed
            });
            feed.join(&uri, subscriber)?
        };
        match tokio::time::timeout(scope.remaining(self.config.call_timeout), granted).await {
            Ok(Ok(granted)) => granted?,
            Ok(Err(_)) => return Err(Fault::new(code::INTERNAL_ERROR, "the subscription was given up")),
            Err(_) => {
                let late = failure::too_slow(server, "resources/subscribe");
                return Err(failure::of_server(scope, server, &late));
            }
        }
        subscriber.keep(subscription)
    }

    /// Sees to it that a session which nobody uses any more ends: its subscriptions hold servers.
    fn watch(self: &Arc<Self>, session: &Arc<Session>) {
        if session.subscriber.is_watched.swap(true, Ordering::Relaxed) {
            return;
        }
        let (shared, session) = (self.clone(), session.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = session.ended.cancelled() => {}
                () = shared.drain.begun.cancelled() => {}
                () = shared.sessions.unused(&session) => {}
            }
            session.subscriber.drop_all();
        });
    }
}
