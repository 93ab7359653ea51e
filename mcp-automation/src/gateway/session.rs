//! One session of a client before 2026-07-28.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    },
};

use mcp_core::{
    Error, ErrorKind, Result, Scope,
    clock::Timestamp,
    scope::{PrincipalId, TenantId},
};
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::{config::SessionConfig, level::Level, path::Endpoint, subscriptions::Subscriber};
use crate::upstream::Reply;

/// A session's id: 128 random bits, 32 hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(u128);

impl SessionId {
    /// A fresh id.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when the machine has no randomness to give.
    pub(super) fn generate() -> Result<Self> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|error| Error::internal("gateway.session", "no random numbers").with_source(error))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let valid =
            text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        valid.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    /// Not shown whole: whoever holds it and the principal's credentials holds the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:04x}…)", self.0 >> 112)
    }
}

/// What a client said it can be asked, in `capabilities` of its `initialize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ClientAbilities {
    sampling: bool,
    elicitation: bool,
    roots: bool,
}

impl ClientAbilities {
    pub(super) fn parse(capabilities: &serde_json::Value) -> Self {
        let has = |name: &str| capabilities.get(name).is_some_and(serde_json::Value::is_object);
        Self { sampling: has("sampling"), elicitation: has("elicitation"), roots: has("roots") }
    }

    /// The capabilities as a client declares them, in their plainest form, which every version knows.
    pub(super) fn declared(self) -> serde_json::Value {
        let members = [("sampling", self.sampling), ("elicitation", self.elicitation), ("roots", self.roots)];
        members.into_iter().filter(|(_, has)| *has).map(|(name, _)| (name, serde_json::json!({}))).collect()
    }

    /// Whether the client answers this request of a server's.
    pub(super) fn answers(self, method: &str) -> bool {
        match method {
            "sampling/createMessage" => self.sampling,
            "elicitation/create" => self.elicitation,
            "roots/list" => self.roots,
            "ping" => true,
            _ => false,
        }
    }
}

/// A session: whose it is, what was agreed, and what is in flight.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    tenant: TenantId,
    principal: PrincipalId,
    endpoint: Endpoint,
    pub(super) abilities: ClientAbilities,
    /// Cancelled when the session ends; calls and streams hang on it.
    pub(super) ended: CancellationToken,
    pub(super) streams: Arc<Semaphore>,
    /// Raised when the session has listed something, which connects to all servers.
    pub(super) listed: Notify,
    last_used: AtomicI64,
    level: AtomicU8,
    /// Calls in flight by the id the client gave them, as it was written.
    calls: Mutex<HashMap<Box<str>, CancellationToken>>,
    max_calls: usize,
    /// Requests of servers that the client has not answered yet, by the id we gave them.
    questions: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    next_question: AtomicU64,
    pub(super) subscriber: Arc<Subscriber>,
}

/// What a client's `initialize` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Initialize {
    pub(super) protocol_version: String,
    #[serde(default)]
    pub(super) capabilities: serde_json::Value,
}

impl Session {
    pub(super) fn new(
        scope: &Scope,
        endpoint: Endpoint,
        abilities: ClientAbilities,
        limits: &SessionConfig,
        now: Timestamp,
    ) -> Result<Self> {
        Ok(Self {
            id: SessionId::generate()?,
            tenant: scope.tenant().clone(),
            principal: scope.principal().id.clone(),
            endpoint,
            abilities,
            ended: CancellationToken::new(),
            streams: Arc::new(Semaphore::new(limits.streams_per_session)),
            listed: Notify::new(),
            last_used: AtomicI64::new(now.as_micros()),
            level: AtomicU8::new(Level::Debug.rank()),
            calls: Mutex::default(),
            max_calls: limits.calls_per_session,
            questions: Mutex::default(),
            next_question: AtomicU64::new(1),
            subscriber: Arc::new(Subscriber::new(limits.subscriptions_per_session)),
        })
    }

    pub(super) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whether the session is this scope's, at this endpoint.
    pub(super) fn belongs_to(&self, scope: &Scope, endpoint: &Endpoint) -> bool {
        self.tenant == *scope.tenant() && self.principal == scope.principal().id && self.endpoint == *endpoint
    }

    pub(super) fn touch(&self, now: Timestamp) {
        self.last_used.store(now.as_micros(), Ordering::Relaxed);
    }

    pub(super) fn last_used(&self) -> Timestamp {
        Timestamp::from_micros(self.last_used.load(Ordering::Relaxed))
    }

    pub(super) fn set_level(&self, level: Level) {
        self.level.store(level.rank(), Ordering::Relaxed);
    }

    /// The lowest level of log messages that the client wants.
    pub(super) fn level(&self) -> Level {
        Level::of_rank(self.level.load(Ordering::Relaxed))
    }

    /// Whether the client wants log messages of this level.
    pub(super) fn wants(&self, level: Option<Level>) -> bool {
        level.is_none_or(|level| level >= self.level())
    }

    /// Enters a call in flight; it leaves when the guard is dropped.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for an id in use, [`RateLimited`](ErrorKind::RateLimited) when too
    /// many are in flight.
    pub(super) fn begin_call(self: &Arc<Self>, id: &str) -> Result<CallGuard> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.contains_key(id) {
            return Err(Error::new(ErrorKind::Conflict, "gateway.call", "a call with this id is in flight"));
        }
        if calls.len() >= self.max_calls {
            let text = format!("more than {} calls in flight in this session", self.max_calls);
            return Err(Error::new(ErrorKind::RateLimited, "gateway.call", text));
        }
        let cancelled = self.ended.child_token();
        calls.insert(id.into(), cancelled.clone());
        Ok(CallGuard { session: self.clone(), id: id.into(), cancelled })
    }

    /// Cancels the call of this id, if it is in flight.
    pub(super) fn cancel_call(&self, id: &str) {
        if let Some(call) = self.calls.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            call.cancel();
        }
    }

    /// Enters a question for the client; its reply comes by the receiver, and it leaves with the guard.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) when too many are open.
    pub(super) fn ask(self: &Arc<Self>) -> Result<(Question, oneshot::Receiver<Reply>)> {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if questions.len() >= self.max_calls {
            return Err(Error::new(
                ErrorKind::RateLimited,
                "gateway.ask",
                "the client has too many open requests",
            ));
        }
        let id = self.next_question.fetch_add(1, Ordering::Relaxed);
        let (reply, answered) = oneshot::channel();
        questions.insert(id, reply);
        Ok((Question { session: self.clone(), id }, answered))
    }

    /// Gives a client's reply to the server that asked; false if nobody asked or waits.
    pub(super) fn answer(&self, id: u64, reply: Reply) -> bool {
        let asked = self.questions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        asked.is_some_and(|asked| asked.send(reply).is_ok())
    }
}

/// A call in flight.
#[derive(Debug)]
pub(super) struct CallGuard {
    session: Arc<Session>,
    id: Box<str>,
    /// Cancelled by the client or by the end of the session.
    pub(super) cancelled: CancellationToken,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.session.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// A request to the client that is not answered yet.
#[derive(Debug)]
pub(super) struct Question {
    session: Arc<Session>,
    pub(super) id: u64,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.session.questions.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_differ() {
        let (a, b) = (SessionId::generate().unwrap(), SessionId::generate().unwrap());
        assert_ne!(a, b);
        assert_eq!(SessionId::parse(&a.to_string()), Some(a));
        for bad in
            ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33), "+0000000000000000000000000000001"]
        {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
        assert!(!format!("{a:?}").contains(&a.to_string()));
    }

    #[test]
    fn a_client_is_asked_only_what_it_declared() {
        let abilities = ClientAbilities::parse(&serde_json::json!({"sampling": {}, "roots": false}));
        assert!(abilities.answers("sampling/createMessage"));
        assert!(!abilities.answers("roots/list"));
        assert!(!abilities.answers("elicitation/create"));
        assert!(!abilities.answers("tools/call"));
    }
}
