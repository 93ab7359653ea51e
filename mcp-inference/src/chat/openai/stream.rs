//! Chunks out of server-sent events.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mcp_core::{
    Error, Result,
    sse::{Event, Parser},
};
use serde_json::Value;

use super::{
    super::{ChatChunk, ChunkStream},
    failure::Failures,
};

/// Largest event.
const MAX_EVENT: usize = 1 << 20;

struct Reader {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Event>,
    failures: Failures,
    /// When the next chunk must be there; bytes that are none, such as comments, do not put it off.
    due: Instant,
    idle: Duration,
    /// Bytes that may still come.
    left: usize,
    /// Answers that have begun, and whether they have ended: where all have, a missing end mark is no harm.
    choices: BTreeMap<u32, bool>,
}

/// The chunks of `body`: the first comes within `first`, each further within `idle`, all within `limit` bytes.
pub(super) fn chunks(
    body: Incoming,
    failures: Failures,
    first: Duration,
    idle: Duration,
    limit: usize,
) -> ChunkStream {
    let parser = Parser::new(MAX_EVENT);
    let reader = Reader {
        body,
        parser,
        ready: VecDeque::new(),
        failures,
        due: Instant::now() + first,
        idle,
        left: limit,
        choices: BTreeMap::new(),
    };
    Box::pin(stream::unfold(Some(reader), async |reader| {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Reader {
    /// The next chunk; none once the provider has said that the answer is whole.
    async fn next(&mut self) -> Result<Option<ChatChunk>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if &event.data[..] == b"[DONE]" {
                    return Ok(None);
                }
                return self.chunk(&event).map(Some);
            }
            if !self.read().await? {
                let whole = !self.choices.is_empty() && self.choices.values().all(|ended| *ended);
                return if whole { Ok(None) } else { Err(self.nonsense("broke off its answer")) };
            }
        }
    }

    fn chunk(&mut self, event: &Event) -> Result<ChatChunk> {
        let value: Value = serde_json::from_slice(&event.data)
            .map_err(|_| self.nonsense("sent something that is no JSON in mid-stream"))?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(self.failures.reported(error));
        }
        let chunk: ChatChunk = serde_json::from_value(value)
            .map_err(|_| self.nonsense("sent something that is no part of an answer in mid-stream"))?;
        for choice in &chunk.choices {
            *self.choices.entry(choice.index).or_default() |= choice.finish_reason.is_some();
        }
        self.due = Instant::now() + self.idle;
        Ok(chunk)
    }

    /// Reads on; false at the body's end.
    async fn read(&mut self) -> Result<bool> {
        let frame = tokio::time::timeout_at(self.due.into(), self.body.frame()).await;
        let Some(frame) = frame.map_err(|_| self.failures.too_slow())? else { return Ok(false) };
        let frame =
            frame.map_err(|error| self.failures.nonsense("broke off its answer", Some(error.into())))?;
        let Ok(data) = frame.into_data() else { return Ok(true) };
        self.left =
            self.left.checked_sub(data.len()).ok_or_else(|| self.nonsense("sent more than the limit"))?;
        let mut events = Vec::new();
        let fed = self.parser.feed(&data, &mut events);
        self.ready.extend(events);
        fed.map_err(|_| self.nonsense("sent an event larger than the limit"))?;
        Ok(true)
    }

    fn nonsense(&self, why: &str) -> Error {
        self.failures.nonsense(why, None)
    }
}
