//! Conversations with models at providers.

mod completion;
pub mod openai;
mod request;

use std::{fmt, pin::Pin};

use async_trait::async_trait;
use futures_util::Stream;
use mcp_core::{Result, Scope};

pub use completion::{ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Usage};
pub use request::{ChatMessage, ChatRequest};

/// The chunks of an answer as they come. After an error nothing follows.
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<ChatChunk>> + Send>>;

/// Something that answers chats: a provider's API.
///
/// Requests and answers have the shape of OpenAI's chat completions, whatever the provider speaks.
///
/// Promises of every backend:
/// 1. What a request or an answer holds beyond what this crate knows is passed on as it is.
/// 2. A stream ends without an error only where the provider said that the answer is whole; one that breaks
///    off ends with an error.
/// 3. Nothing is tried twice: whoever calls decides on that.
/// 4. Every failure is an error by kind, with a message that holds no credentials:
///
/// | the provider | kind | may be tried elsewhere |
/// |---|---|---|
/// | finds fault with the request (400, 413, 422) | `InvalidInput` with its message | no |
/// | answers 429 | `RateLimited`, with its `Retry-After` | yes |
/// | answers 5xx, or cannot be reached | `Unavailable`, with its `Retry-After` | yes |
/// | refuses the platform's credentials, or does not know the model | `Upstream` | yes |
/// | answers nonsense, an error with status 200, another content type, or half an answer | `Upstream` | yes |
/// | does not answer in time | `DeadlineExceeded` | yes |
#[async_trait]
pub trait ChatProvider: Send + Sync + fmt::Debug {
    /// The provider's name in the configuration.
    fn name(&self) -> &str;

    /// The whole answer.
    ///
    /// # Errors
    /// By the table above.
    ///
    /// # Cancellation
    /// Safe: the provider sees the connection close.
    async fn complete(&self, scope: &Scope, request: &ChatRequest) -> Result<ChatCompletion>;

    /// The answer in chunks, as it is made.
    ///
    /// # Errors
    /// By the table above, before the first chunk or as the stream's last item.
    ///
    /// # Cancellation
    /// Safe: dropping the stream closes the connection, which ends the work at the provider.
    async fn stream(&self, scope: &Scope, request: &ChatRequest) -> Result<ChunkStream>;
}
