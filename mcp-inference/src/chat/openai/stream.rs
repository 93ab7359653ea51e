//! A stream of chunks, read as it comes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use mcp_core::{
    Error, Result,
    sse::{Event, Parser},
};

use super::{OpenAiConfig, client, failure::Failure};
use crate::chat::{ChatChunk, ChatStream};

/// What ends a stream.
const DONE: &[u8] = b"[DONE]";

/// The body of a stream, and how far it has been read.
pub(super) struct Reading {
    provider: String,
    body: Incoming,
    parser: Parser,
    events: VecDeque<Bytes>,
    /// What went wrong behind those events.
    failed: Option<Failure>,
    /// A choice has ended, so that the stream may end too.
    finished: bool,
    left: usize,
    idle: Duration,
    total: Duration,
    until: Instant,
}

impl Reading {
    pub(super) fn new(config: &OpenAiConfig, body: Incoming, until: Instant) -> Self {
        Self {
            provider: config.name.clone(),
            body,
            parser: Parser::new(config.max_event),
            events: VecDeque::new(),
            failed: None,
            finished: false,
            left: config.max_answer,
            idle: config.idle,
            total: config.total,
            until,
        }
    }

    pub(super) fn into_stream(self) -> ChatStream {
        // An error ends the unfolding, so nothing follows it.
        Box::pin(stream::try_unfold(self, Self::next))
    }

    async fn next(mut self) -> Result<Option<(ChatChunk, Self)>> {
        loop {
            if let Some(data) = self.events.pop_front() {
                if data == DONE {
                    return Ok(None);
                }
                let chunk = ChatChunk::parse(data).map_err(|none| self.error(&none.into()))?;
                self.finished |= chunk.finish;
                return Ok(Some((chunk, self)));
            }
            if let Some(failure) = self.failed.take() {
                return Err(self.error(&failure));
            }
            match self.read().await {
                Ok(true) => {}
                // Some servers leave the mark out; one that has finished a choice has not been cut.
                Ok(false) if self.finished => return Ok(None),
                Ok(false) => return Err(self.error(&Failure::HalfAStream)),
                Err(failure) => return Err(self.error(&failure)),
            }
        }
    }

    /// Reads on; false at the end of the body.
    async fn read(&mut self) -> Result<bool, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Overlong(self.total));
        }
        let frame = client::next_frame(&mut self.body, self.idle.min(left)).await;
        let frame = frame.map_err(|failure| match failure {
            Failure::Paused(_) if left < self.idle => Failure::Overlong(self.total),
            other => other,
        })?;
        let Some(bytes) = frame else { return Ok(false) };
        let mut events: Vec<Event> = Vec::new();
        let fed = self.parser.feed(&bytes, &mut events);
        // How the network cut the stream does not decide which events count.
        self.events.extend(events.into_iter().map(|event| event.data));
        self.failed = (fed.is_err() || bytes.len() > self.left).then_some(Failure::TooLong);
        self.left = self.left.saturating_sub(bytes.len());
        Ok(true)
    }

    fn error(&self, failure: &Failure) -> Error {
        failure.of(&self.provider)
    }
}
