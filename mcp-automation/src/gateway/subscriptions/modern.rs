//! Subscriptions at a stateless server: one stream for all resources, opened anew when they change.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result, Scope};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::sync::mpsc;

use super::{
    super::{failure, shared::Shared, splice},
    feed::Feed,
    keep::End,
    legacy::{UPDATED, uri_of},
    line::{self, Line},
};
use crate::{
    jsonrpc::{Fault, code},
    upstream::{Downstream, Reply, Upstream},
};

/// Messages of the server that may wait; it is read slower then.
const AHEAD: usize = 64;

/// Follows the wishes on one connection.
pub(super) async fn follow(shared: &Shared, feed: &Feed, scope: &Scope, upstream: &Arc<dyn Upstream>) -> End {
    let mut stream: Option<Stream> = None;
    let line = Line { scope, upstream: &**upstream, timeout: shared.config.list_timeout };
    let mut pulse = line::pulse();
    loop {
        let wanted = feed.wanted();
        if wanted.is_empty() {
            stream = None;
            if shared.subscriptions.close(feed) {
                return End::Unwanted;
            }
        } else if stream.as_ref().is_none_or(|stream| stream.uris != wanted) {
            let next = Stream::open(scope, upstream, wanted);
            let opened =
                tokio::time::timeout(shared.config.list_timeout, next.acknowledged(feed, &mut stream));
            let late = |_| Err(failure::too_slow(upstream.name(), "subscriptions/listen"));
            match opened.await.unwrap_or_else(late) {
                Ok(opened) => stream = Some(opened),
                Err(error) => return End::Lost(failure::of_server(scope, upstream.name(), &error)),
            }
            continue;
        }
        let Some(open) = &mut stream else { continue };
        // Also for who gave a resource up and wants it again before that was seen here.
        open.uris.iter().for_each(|uri| feed.granted(uri));
        tokio::select! {
            () = feed.bell.notified() => {}
            // The request that every stateless server answers.
            _ = pulse.tick() => if let Err(error) = line.call("server/discover", None).await {
                return End::Lost(Fault::from(&error));
            },
            said = open.next() => match said {
                Ok(Said::Updated(uri)) => feed.updated(&uri),
                Ok(Said::Accepted(_)) => {}
                Err(error) => return End::Lost(Fault::from(&error)),
            }
        }
    }
}

/// What a server says on a stream.
#[derive(Debug)]
enum Said {
    Accepted(BTreeSet<String>),
    Updated(String),
}

/// One `subscriptions/listen`.
struct Stream {
    uris: BTreeSet<Arc<str>>,
    heard: mpsc::Receiver<Said>,
    /// Ends with the stream. Dropping it tells the server.
    call: Pin<Box<dyn Future<Output = Error> + Send>>,
}

impl Stream {
    fn open(scope: &Scope, upstream: &Arc<dyn Upstream>, uris: BTreeSet<Arc<str>>) -> Self {
        let (said, heard) = mpsc::channel(AHEAD);
        let list: Vec<&str> = uris.iter().map(|uri| &**uri).collect();
        let params = splice::raw(json!({ "notifications": { "resourceSubscriptions": list } }).to_string());
        let (scope, upstream) = (scope.clone(), upstream.clone());
        let call = Box::pin(async move {
            let ear = Ear(said);
            match upstream.call(&scope, "subscriptions/listen", Some(&params), &ear).await {
                Err(error) => error,
                Ok(Reply::Error(error)) => {
                    Error::upstream("gateway.subscribe", "the server refused to be listened to")
                        .with_context("answer", error.get().chars().take(500).collect::<String>())
                }
                Ok(Reply::Result(_)) => {
                    Error::upstream("gateway.subscribe", "the server ended the subscription")
                }
            }
        });
        Self { uris, heard, call }
    }

    /// Waits until the server has said what it will tell, while the stream before it is still heard.
    async fn acknowledged(mut self, feed: &Feed, before: &mut Option<Self>) -> Result<Self> {
        let accepted = loop {
            let said = match before.as_mut() {
                Some(old) => tokio::select! {
                    said = self.next() => said?,
                    said = old.next() => match said {
                        Ok(said @ Said::Updated(_)) => said,
                        Ok(Said::Accepted(_)) => continue,
                        Err(_) => {
                            *before = None;
                            continue;
                        }
                    },
                },
                None => self.next().await?,
            };
            match said {
                Said::Accepted(uris) => break uris,
                Said::Updated(uri) => feed.updated(&uri),
            }
        };
        for uri in &self.uris {
            if accepted.contains(&**uri) {
                feed.granted(uri);
            } else {
                let fault = Fault::new(code::INVALID_PARAMS, "the server does not tell of this resource");
                feed.refused(uri, &fault.with_data(json!({ "uri": uri })));
            }
        }
        self.uris.retain(|uri| accepted.contains(&**uri));
        Ok(self)
    }

    /// What the server says next.
    ///
    /// # Errors
    /// Why it will say nothing more.
    ///
    /// # Cancellation
    /// Safe: nothing that was said is lost.
    async fn next(&mut self) -> Result<Said> {
        tokio::select! {
            biased;
            Some(said) = self.heard.recv() => Ok(said),
            error = &mut self.call => Err(error),
        }
    }
}

/// The client's side of the stream.
#[derive(Debug)]
struct Ear(mpsc::Sender<Said>);

#[async_trait]
impl Downstream for Ear {
    async fn notify(&self, method: &str, params: Option<&RawValue>) {
        let said = match method {
            UPDATED => uri_of(params).map(Said::Updated),
            "notifications/subscriptions/acknowledged" => Some(Said::Accepted(accepted(params))),
            _ => None,
        };
        if let Some(said) = said {
            // It fails when nobody follows any more, and then the call is dropped.
            let _ = self.0.send(said).await;
        }
    }

    async fn request(&self, method: &str, _params: Option<&RawValue>) -> Result<Reply> {
        let text = format!("`{method}` belongs to no call");
        Err(Error::new(ErrorKind::Unsupported, "gateway.subscribe", text))
    }
}

fn accepted(params: Option<&RawValue>) -> BTreeSet<String> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase")]
    struct Filter {
        #[serde(default)]
        resource_subscriptions: Option<BTreeSet<String>>,
    }
    #[derive(Deserialize)]
    struct Acknowledged {
        #[serde(default)]
        notifications: Filter,
    }
    let read = params.and_then(|params| serde_json::from_str::<Acknowledged>(params.get()).ok());
    read.and_then(|read| read.notifications.resource_subscriptions).unwrap_or_default()
}
