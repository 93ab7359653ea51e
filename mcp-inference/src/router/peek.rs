//! Waiting for a stream's first content: until it is there, another deployment may still answer.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use mcp_core::{Error, Result};

use crate::chat::{ChatChunk, ChatStream};

/// Chunks without content after which a stream counts as begun all the same.
const MAX_CHUNKS: usize = 64;
/// Bytes of such chunks.
const MAX_BYTES: usize = 256 << 10;

/// A stream whose first content is there.
pub(super) struct Begun {
    /// What came up to the first content, it included.
    pub(super) first: VecDeque<ChatChunk>,
    pub(super) rest: ChatStream,
}

/// Reads until the first chunk that says something or ends a choice.
///
/// # Errors
/// The stream's own error before that, or [`Upstream`](mcp_core::ErrorKind::Upstream) if it ends there.
pub(super) async fn first_content(provider: &str, mut rest: ChatStream) -> Result<Begun> {
    let (mut first, mut bytes) = (VecDeque::new(), 0);
    while let Some(chunk) = rest.next().await {
        let chunk = chunk?;
        bytes += chunk.json.len();
        let begun = chunk.content || chunk.finish;
        first.push_back(chunk);
        if begun || first.len() >= MAX_CHUNKS || bytes >= MAX_BYTES {
            return Ok(Begun { first, rest });
        }
    }
    Err(Error::upstream(
        "router.peek",
        format!("the provider `{provider}` ended its answer without saying anything"),
    ))
}
