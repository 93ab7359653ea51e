//! All that belongs to one call over HTTP: the response, what comes on its stream, and resuming that.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mcp_core::{
    ErrorKind, Result,
    sse::{Event, Parser},
};
use serde_json::value::RawValue;

use super::{Inner, wire};
use crate::{
    jsonrpc::{Envelope, Fault, Shape, code},
    upstream::{Downstream, Reply, message, splice},
};

/// Attempts to resume a stream that broke before the reply.
const RESUMES: u32 = 5;

/// One call in flight.
pub(super) struct Conversation<'a> {
    pub(super) inner: &'a Inner,
    pub(super) id: u64,
    /// The caller's progress token.
    pub(super) token: Option<Box<RawValue>>,
    pub(super) downstream: &'a dyn Downstream,
}

/// What one message on the stream was.
enum Step {
    Reply(Reply),
    Asked { id: Box<RawValue>, method: String, params: Option<Box<RawValue>> },
    Nothing,
}

impl Conversation<'_> {
    /// Reads the reply out of the response to the call's POST.
    pub(super) async fn read(&self, response: Response<Incoming>) -> Result<Reply> {
        if response.status() == StatusCode::OK && wire::is_type(&response, "text/event-stream") {
            return self.read_stream(response).await;
        }
        let status = response.status();
        let json = wire::is_type(&response, "application/json");
        let limit = self.inner.limits.message;
        let body = wire::whole(response.into_body(), limit).await.map_err(|too_large| match too_large {
            true => self.inner.error(ErrorKind::TooLarge, "answered with a longer message than the limit"),
            false => self.inner.error(ErrorKind::Upstream, "broke off its answer"),
        })?;
        // Errors of the protocol come with a status of 400 or so and their own body.
        if json
            && let Ok((envelope, Shape::Response)) = Envelope::parse(&body)
            && (status == StatusCode::OK || envelope.error.is_some())
            && envelope.id.is_none_or(|id| wire::own_id(Some(id)) == Some(self.id))
        {
            return self.reply(&envelope);
        }
        if status.is_success() {
            return Err(self
                .inner
                .error(ErrorKind::Upstream, "answered with what is no reply to the request"));
        }
        let (kind, why) = wire::refusal(status);
        Err(self.inner.error(kind, &why))
    }

    async fn read_stream(&self, response: Response<Incoming>) -> Result<Reply> {
        let mut body = response.into_body();
        let mut parser = Parser::new(self.inner.limits.message);
        let mut asked = FuturesUnordered::new();
        let mut events: Vec<Event> = Vec::new();
        let mut resumes = 0;
        loop {
            for event in events.drain(..) {
                match self.step(&event.data).await {
                    Step::Reply(reply) => return Ok(reply),
                    Step::Asked { id, method, params } => {
                        asked.push(async move { (id, self.ask(&method, params.as_deref()).await) })
                    }
                    Step::Nothing => {}
                }
            }
            tokio::select! {
                biased;
                Some((id, reply)) = asked.next(), if !asked.is_empty() => {
                    let id: Box<RawValue> = id;
                    self.inner.post_aside(message::response(&id, &reply)).await?;
                }
                frame = body.frame() => match frame {
                    Some(Ok(frame)) => {
                        let chunk: Bytes = frame.into_data().unwrap_or_default();
                        parser.feed(&chunk, &mut events).map_err(|_| {
                            self.inner.error(ErrorKind::TooLarge, "sent a longer event than the limit")
                        })?;
                    }
                    Some(Err(_)) | None => {
                        resumes += 1;
                        body = self.resume(&mut parser, resumes).await?;
                    }
                },
            }
        }
    }

    /// Puts a request of the server's to the caller. A server that tenants share may keep what it learns from
    /// one for another, so there it learns nothing.
    async fn ask(&self, method: &str, params: Option<&RawValue>) -> Reply {
        if self.inner.limits.shared {
            let why = "tenants share this connection, so no caller can be asked";
            return message::refusal(&Fault::new(code::METHOD_NOT_FOUND, why));
        }
        let reply = self.downstream.request(method, params).await;
        reply.unwrap_or_else(|error| message::refusal(&Fault::from(&error)))
    }

    /// Goes on after the last event of a stream that ended without the reply, where it can be resumed.
    async fn resume(&self, parser: &mut Parser, attempt: u32) -> Result<Incoming> {
        let broke_off = || self.inner.error(ErrorKind::Upstream, "ended its stream without an answer");
        let last_id = parser.last_id.clone().ok_or_else(broke_off)?;
        if attempt > RESUMES || self.inner.stateless() {
            return Err(broke_off());
        }
        let wait = Duration::from_millis(parser.retry.unwrap_or(500)).min(Duration::from_secs(30));
        tokio::time::sleep(wait).await;
        let response = self.inner.get(Some(&last_id)).await?;
        if response.status() != StatusCode::OK || !wire::is_type(&response, "text/event-stream") {
            return Err(broke_off());
        }
        let mut fresh = Parser::new(self.inner.limits.message);
        (fresh.last_id, fresh.retry) = (Some(last_id), parser.retry);
        *parser = fresh;
        Ok(response.into_body())
    }

    async fn step(&self, data: &[u8]) -> Step {
        let Ok((envelope, shape)) = Envelope::parse(data) else {
            tracing::debug!(server = %self.inner.server, "an event is no message");
            return Step::Nothing;
        };
        match shape {
            Shape::Response if wire::own_id(envelope.id) == Some(self.id) => {
                self.reply(&envelope).map_or(Step::Nothing, Step::Reply)
            }
            Shape::Response => Step::Nothing,
            Shape::Notification => {
                self.pass_on(&envelope).await;
                Step::Nothing
            }
            Shape::Request => {
                self.inner.answer_or(&envelope).await.map_or(Step::Nothing, |(id, method, params)| {
                    Step::Asked {
                        id: id.to_owned(),
                        method: method.to_owned(),
                        params: params.map(ToOwned::to_owned),
                    }
                })
            }
        }
    }

    async fn pass_on(&self, envelope: &Envelope<'_>) {
        let Some(method) = envelope.method.as_deref() else { return };
        if method == "notifications/progress" {
            let own = splice::progress_token(envelope.params) == Some(self.id);
            let Some((params, token)) = envelope.params.zip(self.token.as_deref()).filter(|_| own) else {
                return;
            };
            let params = splice::with_progress_token(params, token);
            return self.downstream.notify(method, params.as_deref()).await;
        }
        // A legacy server may send its news on any stream; a stateless one only on that which asked for them.
        if self.inner.stateless() || method == "notifications/message" {
            self.downstream.notify(method, envelope.params).await;
        } else {
            self.inner.publish(method, envelope.params);
        }
    }

    fn reply(&self, envelope: &Envelope<'_>) -> Result<Reply> {
        match (envelope.result, envelope.error) {
            (Some(result), _) => Ok(Reply::Result(result.to_owned())),
            (None, Some(error)) => Ok(Reply::Error(error.to_owned())),
            (None, None) => Err(self.inner.error(ErrorKind::Upstream, "answered with an empty reply")),
        }
    }
}
