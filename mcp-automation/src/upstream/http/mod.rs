//! A connection to a server over streamable HTTP.
//!
//! For a stateless version it is an address and a handshake; for a legacy one it is a session, which is
//! begun anew when the server has forgotten it.

mod conversation;
mod session;
mod subscription;
mod wire;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use mcp_core::{Error, ErrorKind, Result, Scope};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use wire::HttpClient;

use self::{
    conversation::Conversation,
    session::{Guest, Session},
    wire::Endpoint,
};
use super::{
    Downstream, Era, Limits, Notice, Reply, ServerInfo, Upstream, failure::server_error, handshake, message,
    notice, splice,
};
use crate::{jsonrpc::Envelope, protocol::ServerName};

/// Longest wait for the server to take a message that has no reply.
const ASIDE: Duration = Duration::from_secs(10);

/// Notices a listener may be behind.
const NOTICES: usize = 256;

/// A live HTTP connection.
#[derive(Debug)]
pub struct HttpUpstream {
    inner: Arc<Inner>,
    info: ServerInfo,
}

/// What the connection's tasks and calls share.
#[derive(Debug)]
struct Inner {
    server: ServerName,
    client: HttpClient,
    endpoint: Endpoint,
    limits: Limits,
    next_id: AtomicU64,
    session: watch::Sender<Session>,
    notices: Mutex<Option<broadcast::Sender<Notice>>>,
    tasks: TaskTracker,
    closed: CancellationToken,
}

impl HttpUpstream {
    /// Shakes hands with the server at `uri`, with `headers` on every request. What the connection does on
    /// its own (the stream of notices, cancellations) runs in `tasks`.
    ///
    /// # Errors
    /// [`Upstream`](ErrorKind::Upstream) when the server cannot be reached, refuses, or breaks the protocol.
    pub async fn open(
        server: ServerName,
        client: HttpClient,
        uri: http::Uri,
        headers: HeaderMap,
        era: Option<Era>,
        limits: Limits,
        tasks: &TaskTracker,
    ) -> Result<Self> {
        let inner = Arc::new(Inner {
            server,
            client,
            endpoint: Endpoint { uri, headers },
            limits,
            next_id: AtomicU64::new(1),
            session: watch::Sender::new(Session::default()),
            notices: Mutex::new(Some(broadcast::channel(NOTICES).0)),
            tasks: tasks.clone(),
            closed: CancellationToken::new(),
        });
        let info = handshake::usable(inner.shake(era).await?, inner.limits.shared);
        if !info.version.is_stateless() {
            tasks.spawn(session::listen(Arc::clone(&inner)));
        } else if let Some(params) = handshake::listen_params(&info) {
            tasks.spawn(subscription::keep(Arc::clone(&inner), params));
        }
        Ok(Self { inner, info })
    }

    /// Waits until the server cannot be reached any more or the connection is closed.
    pub async fn ended(&self) -> String {
        self.inner.closed.cancelled().await;
        "cannot be reached".to_owned()
    }

    /// Ends the connection and its session; calls in flight fail.
    pub async fn close(&self) {
        self.inner.end();
        self.inner.delete_session().await;
    }
}

impl Drop for HttpUpstream {
    fn drop(&mut self) {
        self.inner.end();
    }
}

#[async_trait]
impl Upstream for HttpUpstream {
    fn name(&self) -> &ServerName {
        &self.inner.server
    }

    fn info(&self) -> &ServerInfo {
        &self.info
    }

    async fn call(
        &self,
        scope: &Scope,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply> {
        let wait = scope.remaining(self.inner.limits.longest(method));
        tokio::select! {
            biased;
            reply = tokio::time::timeout(wait, self.inner.call(scope, method, params, downstream)) => {
                reply.unwrap_or_else(|_| {
                    Err(self.inner.error(ErrorKind::DeadlineExceeded, "did not answer within the deadline"))
                })
            }
            () = self.inner.closed.cancelled() => Err(self.inner.error(ErrorKind::Upstream, "the connection has ended")),
        }
    }

    async fn notify(&self, scope: &Scope, method: &str, params: Option<&RawValue>) -> Result<()> {
        let mut request = self.inner.endpoint.post(message::notification(method, params.map(RawValue::get)));
        if self.inner.stateless() {
            wire::put_routing(request.headers_mut(), method, params.map(RawValue::get));
        }
        let wait = scope.remaining(self.inner.limits.call);
        tokio::time::timeout(wait, self.inner.deliver(request)).await.unwrap_or_else(|_| {
            Err(self
                .inner
                .error(ErrorKind::DeadlineExceeded, "did not take the notification within the deadline"))
        })
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        match &*self.inner.notices.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => sender.subscribe(),
            // A channel whose sender is gone is closed, which is what a listener is to see.
            None => broadcast::channel(1).1,
        }
    }
}

impl Inner {
    async fn call(
        self: &Arc<Self>,
        scope: &Scope,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply> {
        let mut renewed = false;
        loop {
            let guest = self.guest();
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let outgoing = splice::outgoing(params, id, Some(guest.version))?;
            let params = outgoing.params.as_deref();
            let mut request = self.endpoint.post(message::request(id, method, params));
            guest.put_headers(request.headers_mut());
            if guest.version.is_stateless() {
                wire::put_routing(request.headers_mut(), method, params);
            }
            wire::put_trace(request.headers_mut(), scope.trace());

            let mut cancel = CancelOnDrop { inner: self, id, armed: !guest.version.is_stateless() };
            let response = self.send(request).await;
            let forgotten = matches!(&response, Ok(response) if response.status() == StatusCode::NOT_FOUND);
            if forgotten && guest.session.is_some() && !renewed {
                // The server does not know the session, so it has not begun the call.
                cancel.armed = false;
                renewed = true;
                self.renew(&guest).await?;
                continue;
            }
            let conversation = Conversation { inner: self, id, token: outgoing.token, downstream };
            let reply = match response {
                Ok(response) => conversation.read(response).await,
                Err(error) => Err(error),
            };
            cancel.armed = false;
            return reply;
        }
    }

    /// Sends a message that has no reply: a notification, or the answer to a request of the server's.
    async fn post_aside(&self, body: Vec<u8>) -> Result<()> {
        self.deliver(self.endpoint.post(body)).await
    }

    async fn deliver(&self, mut request: Request<Full<Bytes>>) -> Result<()> {
        self.guest().put_headers(request.headers_mut());
        let sent = tokio::time::timeout(ASIDE, self.send(request)).await;
        let response =
            sent.unwrap_or_else(|_| Err(self.error(ErrorKind::DeadlineExceeded, "does not take messages")))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => {
                let (kind, why) = wire::refusal(status);
                Err(self.error(kind, &why))
            }
        }
    }

    async fn get(&self, after: Option<&str>) -> Result<Response<Incoming>> {
        let mut request = self.endpoint.get(after);
        self.guest().put_headers(request.headers_mut());
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        self.client.send(request).await.map_err(|failure| {
            if failure.unreachable {
                // Whoever owns the connection finds out when the server is back.
                self.end();
            }
            let why = if failure.unreachable { "cannot be reached" } else { "broke the connection" };
            self.error(ErrorKind::Upstream, why).with_source(failure.source)
        })
    }

    /// Answers a request of the server's that needs no caller, or gives it back.
    async fn answer_or<'e>(
        &self,
        envelope: &'e Envelope<'_>,
    ) -> Option<(&'e RawValue, &'e str, Option<&'e RawValue>)> {
        let (id, method) = envelope.id.zip(envelope.method.as_deref())?;
        if method != "ping" {
            return Some((id, method, envelope.params));
        }
        let empty = serde_json::value::to_raw_value(&serde_json::Map::new()).ok()?;
        if let Err(error) = self.post_aside(message::response(id, &Reply::Result(empty))).await {
            tracing::debug!(%error, "a ping was not answered");
        }
        None
    }

    /// Tells the listeners, unless it is a log message, which may be about somebody's call.
    fn publish(&self, method: &str, params: Option<&RawValue>) {
        if method == "notifications/message" {
            tracing::trace!(server = %self.server, "a log message belongs to no call and is dropped");
            return;
        }
        let Some(notice) = notice::notice(&self.server, self.limits.shared, method, params) else { return };
        if let Some(notices) = &*self.notices.lock().unwrap_or_else(PoisonError::into_inner) {
            // No listener is no error.
            let _ = notices.send(notice);
        }
    }

    /// Ends the notices of the session that was, and with them what listeners knew of the server.
    fn renew_notices(&self) {
        if let Some(notices) = &mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner) {
            *notices = broadcast::channel(NOTICES).0;
        }
    }

    fn guest(&self) -> Guest {
        self.session.borrow().guest.clone()
    }

    fn stateless(&self) -> bool {
        self.session.borrow().guest.version.is_stateless()
    }

    fn end(&self) {
        self.closed.cancel();
        *self.notices.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn error(&self, kind: ErrorKind, why: &str) -> Error {
        server_error(&self.server, kind, why)
    }
}

/// Tells a legacy server that nobody waits for the reply any more. A stateless one sees the stream close.
struct CancelOnDrop<'a> {
    inner: &'a Arc<Inner>,
    id: u64,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed && !self.inner.closed.is_cancelled() {
            let (inner, body) = (Arc::clone(self.inner), message::cancelled(self.id));
            self.inner.tasks.spawn(async move {
                if let Err(error) = inner.post_aside(body).await {
                    tracing::debug!(%error, "a cancellation was not delivered");
                }
            });
        }
    }
}
