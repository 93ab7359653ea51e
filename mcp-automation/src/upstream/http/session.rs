//! The handshake over HTTP, the session that comes of it, and its renewal.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use mcp_core::{ErrorKind, Result, sse::Parser};

use super::{
    Inner,
    conversation::Conversation,
    wire::{self, SESSION, VERSION},
};
use crate::{
    jsonrpc::{Envelope, Fault, Shape, code},
    protocol::ProtocolVersion,
    upstream::{
        Deaf, Era, ServerInfo,
        handshake::{self, Discovered},
        message,
    },
};

/// How long the server may take to begin a session anew, where a call may not take less.
const RENEWAL: Duration = Duration::from_secs(60);
/// How long the server may take to end a session.
const GOODBYE: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to open the server's own stream.
const LISTEN_PAUSE: Duration = Duration::from_secs(30);

/// What each request says about who sends it.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) version: ProtocolVersion,
    pub(super) session: Option<HeaderValue>,
    /// Counts the sessions, so that of all calls that find one forgotten only the first renews it.
    epoch: u64,
    /// Whether the handshake is over; `MCP-Protocol-Version` is sent from then on.
    settled: bool,
}

/// The session and whether it is being renewed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) guest: Guest,
    renewing: bool,
}

impl Default for Session {
    fn default() -> Self {
        let guest =
            Guest { version: ProtocolVersion::LATEST_LEGACY, session: None, epoch: 0, settled: false };
        Self { guest, renewing: false }
    }
}

impl Guest {
    pub(super) fn put_headers(&self, headers: &mut HeaderMap) {
        if self.settled {
            headers.insert(VERSION, HeaderValue::from_static(self.version.as_str()));
        }
        if let Some(session) = &self.session {
            headers.insert(SESSION, session.clone());
        }
    }
}

impl Inner {
    pub(super) async fn shake(self: &Arc<Self>, era: Option<Era>) -> Result<ServerInfo> {
        if era != Some(Era::Legacy)
            && let Some(info) = self.discover().await?
        {
            self.session.send_modify(|session| {
                session.guest.version = info.version;
                session.guest.settled = true;
            });
            return Ok(info);
        }
        self.initialize().await
    }

    /// Asks for the stateless era; `None` where the server is a legacy one.
    async fn discover(&self) -> Result<Option<ServerInfo>> {
        let params = handshake::discover_params();
        let (id, method) = (0, "server/discover");
        let mut request = self.endpoint.post(message::request(id, method, Some(&params)));
        request.headers_mut().insert(VERSION, HeaderValue::from_static(ProtocolVersion::LATEST.as_str()));
        wire::put_routing(request.headers_mut(), method, Some(&params));
        let Ok(response) = tokio::time::timeout(self.limits.probe, self.send(request)).await else {
            return Ok(None);
        };
        let response = response?;
        let status = response.status();
        let conversation = Conversation { inner: self, id, token: None, downstream: &Deaf };
        match conversation.read(response).await {
            Ok(reply) => match handshake::read_discover(&self.server, reply)? {
                Discovered::Modern(info) => Ok(Some(*info)),
                Discovered::Legacy => Ok(None),
            },
            // What a legacy server makes of a request without session: anything of the 400s but a refusal.
            Err(_) if status.is_client_error() && !refused(status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn initialize(&self) -> Result<ServerInfo> {
        let params = handshake::initialize_params(self.limits.shared);
        let request = self.endpoint.post(message::request(0, "initialize", Some(&params)));
        let response = self.send(request).await?;
        let session = response.headers().get(SESSION).cloned();
        let conversation = Conversation { inner: self, id: 0, token: None, downstream: &Deaf };
        let info = handshake::read_initialize(&self.server, conversation.read(response).await?)?;
        self.session.send_modify(|state| {
            state.guest =
                Guest { version: info.version, session, epoch: state.guest.epoch + 1, settled: true };
        });
        self.post_aside(message::notification("notifications/initialized", None)).await?;
        Ok(info)
    }

    /// Begins a new session in place of the one `stale` was of. Of several callers one does it and the others
    /// wait; it goes on when its caller goes away.
    pub(super) async fn renew(self: &Arc<Self>, stale: &Guest) -> Result<()> {
        let mine = self.session.send_if_modified(|session| {
            let first = session.guest.epoch == stale.epoch && !session.renewing;
            session.renewing |= first;
            first
        });
        if mine {
            let inner = Arc::clone(self);
            self.tasks.spawn(async move {
                let within = RENEWAL.min(inner.limits.call);
                let renewing = tokio::time::timeout(within, inner.initialize());
                match inner.closed.run_until_cancelled(renewing).await {
                    Some(Ok(Ok(_))) => inner.renew_notices(),
                    None => {}
                    Some(refused) => {
                        tracing::debug!(?refused, "a session was not renewed");
                        inner.end();
                    }
                }
                inner.session.send_modify(|session| session.renewing = false);
            });
        }
        let mut states = self.session.subscribe();
        // The sender is in `self`, so waiting cannot fail.
        let _ = states.wait_for(|session| !session.renewing).await;
        match self.closed.is_cancelled() {
            true => Err(self.error(ErrorKind::Upstream, "forgot the session and refused a new one")),
            false => Ok(()),
        }
    }

    pub(super) async fn delete_session(&self) {
        let guest = self.guest();
        if guest.session.is_some() {
            let mut request = self.endpoint.delete();
            guest.put_headers(request.headers_mut());
            // A server that does not end sessions says 405; there is nothing more to do.
            let _ = tokio::time::timeout(GOODBYE, self.client.send(request)).await;
        }
    }
}

/// Reads the server's own stream, where it has one, until the connection is closed.
pub(super) async fn listen(inner: Arc<Inner>) {
    let mut pause = Duration::from_millis(500);
    loop {
        let reading = async {
            let response = inner.get(None).await.ok()?;
            match response.status() {
                StatusCode::OK if wire::is_type(&response, "text/event-stream") => {}
                StatusCode::NOT_FOUND => inner.renew(&inner.guest()).await.ok()?,
                // Most often 405: the server has no stream of its own.
                status if status.is_client_error() => return None,
                _ => return Some(()),
            }
            let mut parser = Parser::new(inner.limits.message);
            let (mut body, mut events) = (response.into_body(), Vec::new());
            while let Some(Ok(frame)) = body.frame().await {
                let chunk: Bytes = frame.into_data().unwrap_or_default();
                parser.feed(&chunk, &mut events).ok()?;
                for event in events.drain(..) {
                    take(&inner, &event.data).await;
                }
            }
            Some(())
        };
        let again = tokio::select! {
            biased;
            () = inner.closed.cancelled() => None,
            again = reading => again,
        };
        if again.is_none() {
            return;
        }
        tokio::select! {
            biased;
            () = inner.closed.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LISTEN_PAUSE),
        }
    }
}

async fn take(inner: &Inner, data: &[u8]) {
    let Ok((envelope, shape)) = Envelope::parse(data) else { return };
    match shape {
        Shape::Notification => {
            if let Some(method) = envelope.method.as_deref() {
                inner.publish(method, envelope.params);
            }
        }
        Shape::Request => {
            if let Some((id, ..)) = inner.answer_or(&envelope).await {
                let fault = Fault::new(code::METHOD_NOT_FOUND, "this belongs to no call");
                let _: Result<()> = inner.post_aside(message::response(id, &message::refusal(&fault))).await;
            }
        }
        Shape::Response => {}
    }
}

fn refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}
