//! Many calls over one pair of pipes: ids, routing of what comes back, cancellation.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use mcp_core::{Error, ErrorKind, Result, Scope, scope::PrincipalId};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, mpsc};

use super::{
    Downstream, Notice, Reply,
    abandoned::Abandoned,
    failure::server_error,
    handshake,
    line::id_in,
    mailbox::{Full, Letter, Mailbox},
    message, notice, splice,
};
use crate::{
    jsonrpc::{Envelope, Fault, Shape, code},
    protocol::{ProtocolVersion, ServerName},
};

/// Messages that may wait to be written; a caller waits for room until its deadline.
const OUTBOX: usize = 256;
/// Notices a listener may be behind.
const NOTICES: usize = 256;

/// The calls of one connection.
#[derive(Debug)]
pub(crate) struct Mux {
    server: ServerName,
    /// Whether several tenants have calls here.
    shared: bool,
    next_id: AtomicU64,
    table: Mutex<Table>,
    outbox: mpsc::Sender<Vec<u8>>,
}

#[derive(Debug)]
struct Table {
    calls: HashMap<u64, Call>,
    abandoned: Abandoned,
    /// Set once the connection has ended: why.
    ended: Option<String>,
    notices: Option<broadcast::Sender<Notice>>,
}

#[derive(Debug, Clone)]
struct Call {
    mailbox: Arc<Mailbox>,
    token: Option<Box<RawValue>>,
    kind: Kind,
    /// Whose it is; none of the connection's own.
    principal: Option<PrincipalId>,
}

/// What may belong to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What the server says and asks while it is the only one.
    Ordinary,
    /// What names it, for as long as its caller listens.
    Listening,
    /// Nothing: it has no caller.
    Handshake,
}

impl Kind {
    fn of(method: &str) -> Self {
        if method == "subscriptions/listen" { Self::Listening } else { Self::Ordinary }
    }
}

impl Mux {
    /// A table without calls, and the queue of what is to be written.
    pub(crate) fn new(server: ServerName, shared: bool) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (outbox, written) = mpsc::channel(OUTBOX);
        let notices = Some(broadcast::channel(NOTICES).0);
        let table = Mutex::new(Table {
            calls: HashMap::new(),
            abandoned: Abandoned::default(),
            ended: None,
            notices,
        });
        (Self { server, shared, next_id: AtomicU64::new(1), table, outbox }, written)
    }

    /// One request of a caller's and all that belongs to it.
    ///
    /// # Cancellation
    /// Safe: when dropped, the server is told.
    pub(crate) async fn call(
        &self,
        scope: &Scope,
        version: ProtocolVersion,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let outgoing = splice::outgoing(params, id, Some(version))?;
        let line = message::request(id, method, outgoing.params.as_deref());
        let mut ticket =
            self.open(id, outgoing.token, Kind::of(method), Some(scope.principal().id.clone()))?;
        self.send(line).await?;
        ticket.sent = true;
        let reply = self.converse(&ticket.mailbox, downstream).await;
        ticket.sent = false;
        reply
    }

    /// One request of the connection's own.
    pub(crate) async fn exchange(&self, method: &str, params: &str) -> Result<Reply> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let ticket = self.open(id, None, Kind::Handshake, None)?;
        self.send(message::request(id, method, Some(params))).await?;
        loop {
            if let Letter::End(reply) = ticket.mailbox.take().await {
                return reply;
            }
        }
    }

    /// Queues one line for the server.
    pub(crate) async fn send(&self, line: Vec<u8>) -> Result<()> {
        match self.outbox.send(line).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ending()),
        }
    }

    /// Sends a notification of a caller's.
    pub(crate) async fn notify(&self, method: &str, params: Option<&RawValue>) -> Result<()> {
        self.send(message::notification(method, params.map(RawValue::get))).await
    }

    /// The connection has ended: every call in flight fails now, later ones at once.
    pub(crate) fn end(&self, why: &str) {
        let calls = {
            let mut table = self.table();
            if table.ended.is_some() {
                return;
            }
            table.ended = Some(why.to_owned());
            table.notices = None;
            std::mem::take(&mut table.calls)
        };
        for call in calls.into_values() {
            let _ = call.mailbox.put(Letter::End(Err(self.broken(why))));
        }
    }

    /// Why the connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.table().ended.clone()
    }

    pub(crate) fn notices(&self) -> broadcast::Receiver<Notice> {
        match &self.table().notices {
            Some(sender) => sender.subscribe(),
            // A channel whose sender is gone is closed, which is what a listener is to see.
            None => broadcast::channel(1).1,
        }
    }

    /// Routes one message of the server's. Returns whether it was one.
    pub(crate) fn receive(&self, line: &Bytes) -> bool {
        let Ok((envelope, shape)) = Envelope::parse(line) else {
            return self.receive_batch(line);
        };
        match shape {
            Shape::Response => self.receive_response(&envelope),
            Shape::Notification => self.receive_notification(&envelope),
            Shape::Request => self.receive_request(&envelope),
        }
        true
    }

    /// Fails the call that an unreadable message seems to answer, so that its caller need not wait for the
    /// deadline. Returns whether there was one.
    pub(crate) fn fail_by_head(&self, head: &[u8], kind: ErrorKind, why: &str) -> bool {
        let Some(id) = id_in(head) else { return false };
        let call = self.table().calls.remove(&id);
        let found = call.is_some();
        if let Some(call) = call {
            let _ = call.mailbox.put(Letter::End(Err(self.error(kind, why))));
        }
        found
    }

    /// An error that names the server.
    pub(crate) fn error(&self, kind: ErrorKind, why: &str) -> Error {
        server_error(&self.server, kind, why)
    }

    /// Why a server went away is for operators, so it is in the error's context alone.
    fn broken(&self, why: &str) -> Error {
        self.error(ErrorKind::Upstream, "the connection has ended").with_context("reason", why)
    }

    fn ending(&self) -> Error {
        self.broken(self.ended().as_deref().unwrap_or("closed"))
    }

    fn open(
        &self,
        id: u64,
        token: Option<Box<RawValue>>,
        kind: Kind,
        principal: Option<PrincipalId>,
    ) -> Result<Ticket<'_>> {
        let mailbox = Arc::new(Mailbox::default());
        let mut table = self.table();
        if let Some(why) = &table.ended {
            return Err(self.broken(why));
        }
        table.calls.insert(id, Call { mailbox: Arc::clone(&mailbox), token, kind, principal });
        Ok(Ticket { mux: self, id, mailbox, sent: false })
    }

    async fn converse(&self, mailbox: &Mailbox, downstream: &dyn Downstream) -> Result<Reply> {
        let mut asked = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some((id, reply)) = asked.next(), if !asked.is_empty() => {
                    let id: Box<RawValue> = id;
                    self.send(message::response(&id, &reply)).await?;
                }
                letter = mailbox.take() => match letter {
                    Letter::End(reply) => return reply,
                    Letter::Notification { method, params } => downstream.notify(&method, params.as_deref()).await,
                    Letter::Request { id, method, params } => asked.push(async move {
                        let reply = downstream.request(&method, params.as_deref()).await;
                        (id, reply.unwrap_or_else(|error| message::refusal(&Fault::from(&error))))
                    }),
                },
            }
        }
    }

    fn receive_batch(&self, line: &Bytes) -> bool {
        // Only 2025-03-26 had batches; taking them from any server harms nobody.
        let Ok(parts) = serde_json::from_slice::<Vec<&RawValue>>(line) else { return false };
        let inner = |part: &&RawValue| {
            part.get().starts_with('{') && self.receive(&line.slice_ref(part.get().as_bytes()))
        };
        !parts.is_empty() && parts.iter().filter(|part| inner(part)).count() == parts.len()
    }

    fn receive_response(&self, envelope: &Envelope<'_>) {
        let call = envelope.id.and_then(|id| id.get().parse().ok()).and_then(|id: u64| {
            let mut table = self.table();
            table.abandoned.answered(id);
            table.calls.remove(&id)
        });
        let Some(call) = call else {
            metrics::counter!("mcp_upstream_stray_replies_total", "server" => self.server.to_string())
                .increment(1);
            return;
        };
        let reply = match (envelope.result, envelope.error) {
            (Some(result), _) => Reply::Result(result.to_owned()),
            (None, Some(error)) => Reply::Error(error.to_owned()),
            // `Envelope::parse` lets no response through that has neither.
            (None, None) => return,
        };
        let _ = call.mailbox.put(Letter::End(Ok(reply)));
    }

    fn receive_notification(&self, envelope: &Envelope<'_>) {
        let Some(method) = envelope.method.as_deref() else { return };
        if method == "notifications/progress" {
            return self.receive_progress(envelope.params);
        }
        if let Some((id, call)) = self.listening_call(envelope.params) {
            let params = envelope.params.map(ToOwned::to_owned);
            let _ = self.put(id, &call, Letter::Notification { method: method.to_owned(), params });
            return;
        }
        // Answering a notification about a request of its own is the server's; there is none to cancel.
        if method == "notifications/cancelled" || handshake::is_about_subscription(method) {
            return;
        }
        if method == "notifications/message" {
            return self.receive_log_message(method, envelope.params);
        }
        let Some(notice) = notice::notice(&self.server, self.shared, method, envelope.params) else { return };
        if let Some(notices) = &self.table().notices {
            // No listener is no error.
            let _ = notices.send(notice);
        }
    }

    /// The call whose stream a notification says it is of.
    fn listening_call(&self, params: Option<&RawValue>) -> Option<(u64, Call)> {
        let id = splice::subscription_id(params)?;
        let call = self.table().calls.get(&id).filter(|call| call.kind == Kind::Listening)?.clone();
        Some((id, call))
    }

    /// Log messages name no call, and what they tell of one is for nobody but its caller.
    fn receive_log_message(&self, method: &str, params: Option<&RawValue>) {
        let Some((id, call)) = self.only_call() else {
            tracing::trace!(server = %self.server, "a log message belongs to no certain call and is dropped");
            return;
        };
        let params = params.map(ToOwned::to_owned);
        let _ = self.put(id, &call, Letter::Notification { method: method.to_owned(), params });
    }

    fn receive_progress(&self, params: Option<&RawValue>) {
        let Some((id, params)) = splice::progress_token(params).zip(params) else { return };
        let Some(call) = self.table().calls.get(&id).cloned() else { return };
        let Some(token) = &call.token else { return };
        let params = splice::with_progress_token(params, token);
        let letter = Letter::Notification { method: "notifications/progress".to_owned(), params };
        let _ = self.put(id, &call, letter);
    }

    fn receive_request(&self, envelope: &Envelope<'_>) {
        let (Some(id), Some(method)) = (envelope.id, envelope.method.as_deref()) else { return };
        if method == "ping" {
            return self.answer(id, &Reply::Result(empty_object()));
        }
        let Some((call_id, call)) = self.only_call() else {
            let fault = Fault::new(code::METHOD_NOT_FOUND, "no certain call that this could belong to");
            return self.answer(id, &message::refusal(&fault));
        };
        let params = envelope.params.map(ToOwned::to_owned);
        let letter = Letter::Request { id: id.to_owned(), method: method.to_owned(), params };
        if self.put(call_id, &call, letter).is_err() {
            let fault = Fault::new(code::INTERNAL_ERROR, "the caller has too many messages waiting");
            self.answer(id, &message::refusal(&fault));
        }
    }

    /// Gives a call what belongs to it. One that has too many bytes waiting fails, rather than hold them.
    fn put(&self, id: u64, call: &Call, letter: Letter) -> std::result::Result<(), Full> {
        let put = call.mailbox.put(letter);
        if put == Err(Full::Bytes) && self.give_up(id) {
            call.mailbox.fail(self.error(ErrorKind::TooLarge, "sent more than its caller could read"));
        }
        put
    }

    /// Takes a call out before its reply has come, and tells the server. Returns whether it was there.
    fn give_up(&self, id: u64) -> bool {
        let given_up = {
            let mut table = self.table();
            let given_up = table.calls.remove(&id);
            // On a stream that nobody listens to the server does nothing that could be taken for another's.
            if let Some(Call { kind: Kind::Ordinary, principal: Some(principal), .. }) = &given_up {
                table.abandoned.add(id, principal.clone());
            }
            given_up.is_some()
        };
        if given_up {
            // Nobody here can wait for room; a server whose queue is full is not reading anyway.
            let _ = self.outbox.try_send(message::cancelled(id));
        }
        given_up
    }

    /// Answers from the reading task, which must not wait: a server that does not read its answers loses them.
    fn answer(&self, id: &RawValue, reply: &Reply) {
        let _ = self.outbox.try_send(message::response(id, reply));
    }

    /// The call in flight, if there is exactly one and the server is at work on none of another principal's.
    /// Where tenants share the connection that is never certain: what comes may be about a call that is over.
    fn only_call(&self) -> Option<(u64, Call)> {
        if self.shared {
            return None;
        }
        let table = self.table();
        let mut calls = table.calls.iter().filter(|(_, call)| call.kind == Kind::Ordinary);
        let (id, call) = calls.next()?;
        let doubted = call.principal.as_ref().is_none_or(|caller| table.abandoned.any_but_of(caller));
        (calls.next().is_none() && !doubted).then(|| (*id, call.clone()))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the table, given up when dropped.
struct Ticket<'a> {
    mux: &'a Mux,
    id: u64,
    mailbox: Arc<Mailbox>,
    /// Whether the server is working on it and has to be told when nobody waits any more.
    sent: bool,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.sent {
            self.mux.give_up(self.id);
        } else {
            self.mux.table().calls.remove(&self.id);
        }
    }
}

fn empty_object() -> Box<RawValue> {
    serde_json::value::to_raw_value(&serde_json::Map::new()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests;
