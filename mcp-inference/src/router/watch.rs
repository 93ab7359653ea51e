//! A stream that has begun: handed on chunk by chunk, and settled at its end.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use mcp_core::Result;

use super::{Used, peek::Begun, report, target::Admission};
use crate::chat::{ChatChunk, ChatStream};

/// The stream for the caller: what has been read already, and the rest.
pub(super) fn watch(
    begun: Begun,
    admission: Admission,
    report: report::Answer,
    wants_usage: bool,
) -> (ChatStream, Used) {
    let (Begun { first, rest }, used) = (begun, Used::default());
    let watched =
        Watched { first, rest: Some(rest), admission, report: Some(report), used: used.clone(), wants_usage };
    (Box::pin(watched), used)
}

struct Watched {
    first: VecDeque<ChatChunk>,
    /// Gone at the end, and with it the connection.
    rest: Option<ChatStream>,
    admission: Admission,
    report: Option<report::Answer>,
    used: Used,
    /// Whether the caller knows what to do with a chunk that has nothing but the usage.
    wants_usage: bool,
}

impl Watched {
    fn end(&mut self, outcome: &'static str) {
        self.rest = None;
        if let Some(report) = self.report.take() {
            report.done(outcome, self.used.usage());
        }
    }
}

impl Stream for Watched {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = match self.first.pop_front() {
                Some(chunk) => Some(Ok(chunk)),
                None => match &mut self.rest {
                    Some(rest) => ready!(rest.as_mut().poll_next(cx)),
                    None => return Poll::Ready(None),
                },
            };
            match next {
                Some(Ok(chunk)) => {
                    self.used.note(chunk.usage);
                    if chunk.usage_only && chunk.usage.is_some() && !self.wants_usage {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Err(error)) => {
                    self.admission.failed(&error);
                    self.end(error.kind().as_str());
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.admission.succeeded();
                    self.end("ok");
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // What the caller left behind was answered, and costs all the same.
        self.end("cancelled");
    }
}
