//! Streams: held back until there is content, and watched to their end.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt as _, stream};
use mcp_core::{Error, ErrorKind, Result, Scope};

use super::deployment::Attempt;
use crate::chat::{ChatChunk, ChatProvider, ChatRequest, ChunkStream};

/// Chunks without content that may come before the first with some.
const MAX_PRELUDE: usize = 64;
/// Longest wait for the first content where the scope sets no earlier deadline.
const FIRST_CONTENT: Duration = Duration::from_secs(300);

/// A stream whose first content is there.
pub(super) struct Opened {
    /// What came up to the first content, that included.
    prelude: VecDeque<ChatChunk>,
    rest: ChunkStream,
}

/// Asks for a stream and waits for its first content.
pub(super) async fn open(
    scope: &Scope,
    provider: &dyn ChatProvider,
    request: &ChatRequest,
) -> Result<Opened> {
    let name = provider.name();
    let opened = async {
        let mut rest = provider.stream(scope, request).await?;
        let mut prelude = VecDeque::new();
        while prelude.len() < MAX_PRELUDE {
            let Some(chunk) = rest.next().await.transpose()? else {
                return Err(failure(ErrorKind::Upstream, name, "ended its answer before it began"));
            };
            let content = chunk.has_content();
            prelude.push_back(chunk);
            if content {
                return Ok(Opened { prelude, rest });
            }
        }
        Err(failure(ErrorKind::Upstream, name, "sends chunks without content"))
    };
    tokio::time::timeout(scope.remaining(FIRST_CONTENT), opened).await.unwrap_or_else(|_| {
        Err(failure(ErrorKind::DeadlineExceeded, name, "did not begin its answer in time"))
    })
}

impl Opened {
    /// The whole stream. How it ends is told to the deployment's breaker.
    pub(super) fn committed(self, attempt: Attempt) -> ChunkStream {
        let state = (self, Some(attempt));
        Box::pin(stream::unfold(state, async |(mut opened, mut attempt)| {
            if let Some(chunk) = opened.prelude.pop_front() {
                return Some((Ok(chunk), (opened, attempt)));
            }
            // Without an attempt the stream has ended with an error.
            attempt.as_ref()?;
            match opened.rest.next().await {
                Some(Ok(chunk)) => Some((Ok(chunk), (opened, attempt))),
                Some(Err(error)) => {
                    if let Some(attempt) = attempt.take() {
                        attempt.fail(&error);
                    }
                    Some((Err(error), (opened, None)))
                }
                None => {
                    if let Some(attempt) = attempt.take() {
                        attempt.succeed();
                    }
                    None
                }
            }
        }))
    }
}

fn failure(kind: ErrorKind, provider: &str, why: &str) -> Error {
    Error::new(kind, "router.stream", format!("provider `{provider}` {why}"))
}
