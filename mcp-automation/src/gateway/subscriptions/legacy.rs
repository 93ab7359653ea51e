//! Subscriptions at a server with sessions: a request for each resource.

use std::{collections::BTreeSet, sync::Arc};

use mcp_core::{Result, Scope};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;

use super::{
    super::{failure, shared::Shared, splice},
    feed::Feed,
    keep::End,
    line::{self, Line},
};
use crate::{
    jsonrpc::{Fault, code},
    upstream::{Reply, Upstream},
};

pub(super) const UPDATED: &str = "notifications/resources/updated";

/// Follows the wishes on one connection.
pub(super) async fn follow(shared: &Shared, feed: &Feed, scope: &Scope, upstream: &dyn Upstream) -> End {
    // From before the first subscription, whose updates may come at once.
    let mut notices = upstream.notices();
    let mut held = BTreeSet::new();
    let mut pulse = line::pulse();
    let line = Line { scope, upstream, timeout: shared.config.list_timeout };
    loop {
        if let Err(error) = reconcile(feed, &mut held, &line).await {
            return End::Lost(failure::of_server(scope, upstream.name(), &error));
        }
        if held.is_empty() && shared.subscriptions.close(feed) {
            return End::Unwanted;
        }
        tokio::select! {
            () = feed.bell.notified() => {}
            notice = notices.recv() => match notice {
                Ok(notice) if &*notice.method == UPDATED => {
                    if let Some(uri) = uri_of(notice.params.as_deref()) {
                        feed.updated(&uri);
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => feed.missed(),
                Err(RecvError::Closed) => {
                    return End::Lost(Fault::new(code::INTERNAL_ERROR, "the connection has ended"));
                }
            },
            _ = pulse.tick() => if let Err(error) = line.call("ping", None).await {
                return End::Lost(Fault::from(&error));
            },
        }
    }
}

/// Makes what the server holds what is wanted.
///
/// # Errors
/// What kept the server from answering; an answer that refuses is for who asked.
async fn reconcile(feed: &Feed, held: &mut BTreeSet<Arc<str>>, line: &Line<'_>) -> Result<()> {
    let wanted = feed.wanted();
    for uri in held.difference(&wanted).cloned().collect::<Vec<_>>() {
        line.call("resources/unsubscribe", Some(&params(&uri))).await?;
        held.remove(&uri);
    }
    for uri in &wanted {
        if !held.contains(uri) {
            match line.call("resources/subscribe", Some(&params(uri))).await? {
                Reply::Result(_) => {
                    held.insert(uri.clone());
                }
                Reply::Error(error) => {
                    feed.refused(uri, &fault_of(&error));
                    continue;
                }
            }
        }
        feed.granted(uri);
    }
    Ok(())
}

fn params(uri: &str) -> Box<RawValue> {
    splice::raw(format!("{{\"uri\":{}}}", splice::quoted(uri)))
}

/// The `uri` of an update.
pub(super) fn uri_of(params: Option<&RawValue>) -> Option<String> {
    #[derive(Deserialize)]
    struct Updated {
        uri: String,
    }
    serde_json::from_str::<Updated>(params?.get()).ok().map(|updated| updated.uri)
}

/// A server's error object as a fault of ours.
fn fault_of(error: &RawValue) -> Fault {
    #[derive(Deserialize)]
    struct Object {
        code: i64,
        message: String,
        data: Option<serde_json::Value>,
    }
    match serde_json::from_str::<Object>(error.get()) {
        Ok(object) => Fault { code: object.code, message: object.message.into(), data: object.data },
        Err(_) => Fault::new(code::INTERNAL_ERROR, "the server refused the subscription"),
    }
}
