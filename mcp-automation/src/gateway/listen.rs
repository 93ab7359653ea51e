//! The stream a client with a session opens by GET: what servers say outside of calls.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderMap, Response, StatusCode};
use mcp_core::{Result, Scope};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, mpsc};

use super::{
    body::Body,
    exchange::Permit,
    headers,
    path::Endpoint,
    respond,
    session::Session,
    shared::{Caller, Client, Shared},
    splice, sse,
};
use crate::{
    jsonrpc::{Fault, write},
    protocol::ServerName,
    upstream::{Notice, Upstream},
};

/// Silence after which a comment is sent, so that proxies keep the stream and a client that is gone shows.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(25);

impl Shared {
    /// Opens the stream.
    ///
    /// It ends with the session, the client, the servers' draining, and holds no server: one that stops while
    /// nobody calls it is heard again after the session's next list.
    pub(super) fn listen(
        self: &Arc<Self>,
        scope: Scope,
        endpoint: Endpoint,
        headers: &HeaderMap,
    ) -> Response<Body> {
        if !headers::accepts(headers, "text/event-stream") {
            return respond::refuse_text(StatusCode::NOT_ACCEPTABLE, "send `Accept: text/event-stream`");
        }
        let session = match self.session_of(&scope, &endpoint, headers) {
            Ok(session) => session,
            Err(refusal) => return *refusal,
        };
        let caller = Caller { scope, endpoint, client: Client::Legacy(session.clone()) };
        let permit = match Permit::take(self, &caller) {
            Ok(permit) => permit,
            Err(error) => {
                return respond::refuse(StatusCode::TOO_MANY_REQUESTS, None, &Fault::from(&error));
            }
        };
        let (chunks, body) = mpsc::channel(16);
        let shared = self.clone();
        self.tasks.spawn(async move {
            let _permit = permit;
            let gone = chunks.clone();
            tokio::select! {
                () = gone.closed() => {}
                () = session.ended.cancelled() => {}
                () = shared.sessions.unused(&session) => {}
                () = shared.drain.begun.cancelled() => {}
                _ = relay(&shared, &caller, &session, chunks) => {}
            }
        });
        respond::events(Body::stream(body, ()))
    }
}

/// Writes notices until the client is gone.
async fn relay(
    shared: &Shared,
    caller: &Caller,
    session: &Session,
    chunks: mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let mut heard = HashSet::new();
    let mut notices = FuturesUnordered::new();
    // Says at once that the stream is open; clients wait for its first byte.
    chunks.send(Bytes::from_static(b": open\n\n")).await?;
    for upstream in shared.connect_all(&caller.scope, &caller.endpoint).await.0 {
        if heard.insert(upstream.name().clone()) {
            notices.push(next(Ear::of(&upstream)));
        }
    }
    loop {
        tokio::select! {
            uri = session.subscriber.updated() => {
                let params = splice::raw(format!("{{\"uri\":{}}}", splice::quoted(&uri)));
                let told = chunks.send(event("notifications/resources/updated", Some(&params))).await;
                if told.is_err() {
                    // Another stream of the session tells it, or the next.
                    session.subscriber.tell(&uri);
                }
                told?;
            }
            Some((ear, notice)) = notices.next() => match notice {
                Ok(notice) => {
                    if is_everybodys(&notice) {
                        chunks.send(event(&notice.method, notice.params.as_deref())).await?;
                    }
                    notices.push(next(ear));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    ear.say_changed(&chunks).await?;
                    notices.push(next(ear));
                }
                Err(broadcast::error::RecvError::Closed) => {
                    heard.remove(&ear.server);
                    ear.say_changed(&chunks).await?;
                }
            },
            // A list has just connected to all servers, so this starts none.
            () = session.listed.notified() => {
                for upstream in shared.connect_all(&caller.scope, &caller.endpoint).await.0 {
                    if heard.insert(upstream.name().clone()) {
                        notices.push(next(Ear::of(&upstream)));
                    }
                }
            }
            () = tokio::time::sleep(KEEP_ALIVE) => chunks.send(Bytes::from_static(b": \n\n")).await?,
        }
    }
}

/// What listens to one server; it does not hold the connection.
struct Ear {
    server: ServerName,
    /// Capabilities whose lists may change.
    lists: Vec<&'static str>,
    notices: broadcast::Receiver<Notice>,
}

impl Ear {
    fn of(upstream: &Arc<dyn Upstream>) -> Self {
        let capabilities = &upstream.info().capabilities;
        let lists = ["tools", "resources", "prompts"];
        Self {
            server: upstream.name().clone(),
            lists: lists.into_iter().filter(|name| capabilities.get(name).is_some()).collect(),
            notices: upstream.notices(),
        }
    }

    /// Says that all lists may have changed: notices were lost, or the server will come back as another.
    async fn say_changed(&self, chunks: &mpsc::Sender<Bytes>) -> Result<(), mpsc::error::SendError<Bytes>> {
        for list in &self.lists {
            chunks.send(event(&format!("notifications/{list}/list_changed"), None)).await?;
        }
        Ok(())
    }
}

async fn next(mut ear: Ear) -> (Ear, Result<Notice, broadcast::error::RecvError>) {
    let notice = ear.notices.recv().await;
    (ear, notice)
}

fn event(method: &str, params: Option<&RawValue>) -> Bytes {
    sse::event(&write::message(None, method, params))
}

/// Changes of lists are everybody's. What else servers say, log messages too, may be about the calls of others
/// on the same connection; updates of resources come to who subscribed by the session.
fn is_everybodys(notice: &Notice) -> bool {
    notice.method.starts_with("notifications/") && notice.method.ends_with("/list_changed")
}
