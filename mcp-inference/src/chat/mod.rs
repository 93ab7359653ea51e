//! Chat completions: what is asked, what is answered, and who answers.
//!
//! The wire types are OpenAI's, and hold raw JSON wherever nothing needs to be read: a field this crate has
//! never heard of reaches the provider, and its answer the caller, byte for byte.

mod answer;
pub mod openai;
mod request;
mod usage;

use std::{fmt, pin::Pin};

use async_trait::async_trait;
use futures_util::Stream;
use mcp_core::{Result, Scope};

pub use answer::{ChatChunk, ChatCompletion};
pub use request::ChatRequest;
pub use usage::Usage;

/// The chunks of one answer, as they come.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatChunk>> + Send>>;

/// One account at one provider of chat models.
///
/// Promises:
/// - **Untouched.** What the caller wrote reaches the provider as it was written, but for the model's name and
///   what the transport needs; what the provider answers is handed on likewise.
/// - **A good answer or an error.** A status of 200 with an error inside, what is no chat completion, what is
///   too long, and a stream that ends before its end are errors, never answers. After an error a stream ends.
/// - **Whose fault it is** shows in the kind: [`InvalidInput`](mcp_core::ErrorKind::InvalidInput),
///   [`TooLarge`](mcp_core::ErrorKind::TooLarge) and [`NotFound`](mcp_core::ErrorKind::NotFound) are the
///   request's, which would fail elsewhere too; all others are the provider's.
/// - **No secrets**: no key, header or body of the provider's is in an error's message. Only where the request
///   is at fault does the message hold what the provider says about it, cut to a line.
/// - **Time is bounded**, by the scope's deadline until an answer begins, and by the provider's own limits.
///
/// # Cancellation
/// Dropping the future or the stream ends the request at the provider.
#[async_trait]
pub trait ChatProvider: Send + Sync + fmt::Debug {
    /// The name by which routes refer to it.
    fn name(&self) -> &str;

    /// What a `Retry-After` holds for: providers with the same upstream are one account at one address.
    fn upstream(&self) -> &str {
        self.name()
    }

    /// Asks `model`, its name at the provider, for a whole answer.
    ///
    /// # Errors
    /// [`RateLimited`](mcp_core::ErrorKind::RateLimited) with
    /// [`RetryAfter`](mcp_core::error::Detail::RetryAfter) where the provider says so;
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) where it cannot be reached;
    /// [`Upstream`](mcp_core::ErrorKind::Upstream) where it fails, answers nonsense, or is too slow;
    /// [`DeadlineExceeded`](mcp_core::ErrorKind::DeadlineExceeded) by the scope's deadline; and the kinds that
    /// blame the request.
    async fn complete(&self, scope: &Scope, model: &str, request: &ChatRequest) -> Result<ChatCompletion>;

    /// Asks `model` for an answer in chunks. The scope's deadline ends with this call: how long the stream may
    /// take is the provider's to bound.
    ///
    /// # Errors
    /// As [`complete`](Self::complete), here and from the stream.
    async fn stream(&self, scope: &Scope, model: &str, request: &ChatRequest) -> Result<ChatStream>;
}
