//! One request of a client's, from its call to its response: JSON if the answer comes first, a stream if
//! the server says something before.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
use mcp_core::{Error, ErrorKind, Result, redact::Redactor};
use serde_json::value::RawValue;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Duration, Instant},
};

use super::{
    body::Body,
    dispatch::Answer,
    drain::InFlight,
    finish::{Finished, finish},
    guard,
    level::Level,
    method::Method,
    metrics::Outcome,
    respond,
    session::CallGuard,
    shared::{Caller, Client, Shared, StreamPermit},
    sse,
};
use crate::{
    jsonrpc::{Fault, write},
    upstream::{Downstream, Reply},
};

/// Messages a server may be ahead of its client by, before it has to wait.
const AHEAD: usize = 32;

/// Time that a stream gets beyond its call's deadline to deliver what is written.
const LINGER: Duration = Duration::from_secs(5);

/// A request that may begin.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Arc<Caller>,
    pub(super) method: Method,
    /// The client's id as it was written.
    pub(super) id: Box<str>,
    pub(super) params: Option<Box<RawValue>>,
    pub(super) in_flight: InFlight,
    /// There for clients with a session, which can cancel by a message.
    pub(super) call: Option<CallGuard>,
}

type Work = Pin<Box<dyn Future<Output = Finished> + Send>>;

impl Exchange {
    /// Runs the request until it is clear what kind of response it gets.
    ///
    /// # Cancellation
    /// Safe: dropping this, or later the body of the response, cancels the call.
    pub(super) async fn run(self) -> Response<Body> {
        let (shared, caller) = (self.shared.clone(), self.caller.clone());
        let id = self.id.clone();
        let (said, mut heard) = mpsc::channel(AHEAD);
        let redactor = shared.guards.redactor.clone();
        let mut work: Work = Box::pin(self.work(ToClient { caller: caller.clone(), redactor, said }));
        let (first, finished) = tokio::select! {
            biased;
            finished = &mut work => match heard.try_recv() {
                Err(_) => return finished.into_response(),
                Ok(first) => (first, Some(finished)),
            },
            Some(first) = heard.recv() => (first, None),
        };
        let permit = match Permit::take(&shared, &caller) {
            Ok(permit) => permit,
            Err(error) => return respond::refuse(StatusCode::OK, Some(&id), &Fault::from(&error)),
        };
        let (chunks, body) = mpsc::channel(1);
        let limit = caller.scope.remaining(shared.config.call_timeout) + LINGER;
        let writer = Writer { first, heard, work, finished, chunks };
        shared.tasks.spawn(async move {
            let _permit = permit;
            let _ = tokio::time::timeout(limit, writer.run()).await;
        });
        respond::events(Body::stream(body, ()))
    }

    async fn work(self, downstream: ToClient) -> Finished {
        let Self { shared, caller, method, id, params, in_flight, call } = self;
        let mut record =
            Record { shared: shared.clone(), method, outcome: Outcome::Cancelled, at: Instant::now() };
        let cancelled = async {
            match &call {
                Some(call) => call.cancelled.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            biased;
            answer = shared.answer(&caller, method, params.as_deref(), &downstream) => answer,
            () = cancelled => Err(cancelled_error("the call was cancelled").into()),
            () = shared.drain.over.cancelled() => Err(cancelled_error("the platform is stopping").into()),
        };
        let answer = shared.redacted(&caller.scope, method, answer).await;
        record.outcome = match &answer {
            Ok(Answer::Own(_) | Answer::Passed(Reply::Result(_))) => Outcome::Ok,
            Ok(Answer::Passed(Reply::Error(_))) => Outcome::Error,
            Err(_) if call.as_ref().is_some_and(|call| call.cancelled.is_cancelled()) => Outcome::Cancelled,
            Err(refusal) if refusal.is_denial() => Outcome::Denied,
            Err(_) => Outcome::Error,
        };
        drop(in_flight);
        finish(&shared, &caller, method, &id, answer)
    }
}

fn cancelled_error(text: &'static str) -> Fault {
    Fault::from(&Error::new(ErrorKind::Cancelled, "gateway.call", text))
}

/// Counts the request when it ends, also when it is dropped.
struct Record {
    shared: Arc<Shared>,
    method: Method,
    outcome: Outcome,
    at: Instant,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.shared.metrics.record(Some(self.method), self.outcome, self.at.elapsed());
    }
}

/// The right to an open stream.
#[derive(Debug)]
pub(super) struct Permit {
    _tenant: StreamPermit,
    _session: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) when the session or the tenant has too many.
    pub(super) fn take(shared: &Shared, caller: &Caller) -> Result<Self> {
        let limits = shared.sessions.limits();
        let refuse = |whose: &str, max: usize| {
            Error::new(
                ErrorKind::RateLimited,
                "gateway.stream",
                format!("more than {max} open streams {whose}"),
            )
        };
        let session = match &caller.client {
            Client::Legacy(session) => Some(
                session
                    .streams
                    .clone()
                    .try_acquire_owned()
                    .map_err(|_| refuse("in this session", limits.streams_per_session))?,
            ),
            Client::Stateless { .. } => None,
        };
        let tenant = shared
            .streams
            .enter(caller.scope.tenant(), limits.streams_per_tenant)
            .ok_or_else(|| refuse("of this tenant", limits.streams_per_tenant))?;
        Ok(Self { _tenant: tenant, _session: session })
    }
}

/// Writes a stream. A task of its own, so that a client that does not read cannot hold its call for longer
/// than the call's deadline.
struct Writer {
    first: Bytes,
    heard: mpsc::Receiver<Bytes>,
    work: Work,
    finished: Option<Finished>,
    chunks: mpsc::Sender<Bytes>,
}

impl Writer {
    async fn run(self) {
        let chunks = self.chunks.clone();
        tokio::select! {
            // The client went away; the call goes with it.
            () = chunks.closed() => {}
            _ = self.write() => {}
        }
    }

    async fn write(mut self) -> Result<(), mpsc::error::SendError<Bytes>> {
        self.chunks.send(sse::event(&self.first)).await?;
        let finished = loop {
            if let Some(finished) = self.finished.take() {
                break finished;
            }
            tokio::select! {
                biased;
                Some(message) = self.heard.recv() => self.chunks.send(sse::event(&message)).await?,
                finished = &mut self.work => break finished,
            }
        };
        while let Ok(message) = self.heard.try_recv() {
            self.chunks.send(sse::event(&message)).await?;
        }
        self.chunks.send(sse::event(&finished.message)).await
    }
}

/// The client's side of a call.
#[derive(Debug)]
struct ToClient {
    caller: Arc<Caller>,
    redactor: Option<Arc<dyn Redactor>>,
    said: mpsc::Sender<Bytes>,
}

#[async_trait::async_trait]
impl Downstream for ToClient {
    async fn notify(&self, method: &str, params: Option<&RawValue>) {
        if method == "notifications/message" {
            let level = Level::of_params(params);
            let wanted = match &self.caller.client {
                Client::Legacy(session) => session.wants(level),
                Client::Stateless { level: lowest } => lowest.is_some_and(|lowest| level >= Some(lowest)),
            };
            if !wanted {
                return;
            }
        }
        let mut redacted = None;
        if let (Some(redactor), Some(params)) = (&self.redactor, params) {
            // What cannot be redacted is not said.
            let Ok(params) = guard::redact(redactor, &self.caller.scope, params.to_owned()).await else {
                return;
            };
            redacted = Some(params);
        }
        // It fails when the client is gone, and then the whole call is dropped.
        let _ = self.said.send(write::message(None, method, redacted.as_deref().or(params)).into()).await;
    }

    async fn request(&self, method: &str, params: Option<&RawValue>) -> Result<Reply> {
        let unsupported = || {
            let text = format!("this client cannot answer `{method}`");
            Error::new(ErrorKind::Unsupported, "gateway.ask", text)
        };
        let Client::Legacy(session) = &self.caller.client else { return Err(unsupported()) };
        if !session.abilities.answers(method) {
            return Err(unsupported());
        }
        let (question, answered) = session.ask()?;
        let message = write::message(Some(&question.id.to_string()), method, params);
        let gone = || Error::new(ErrorKind::Cancelled, "gateway.ask", "the client went away");
        self.said.send(message.into()).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}
