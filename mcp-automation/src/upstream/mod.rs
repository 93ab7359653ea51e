//! The seam between the gateway and the fleet: one live connection to one MCP server.
//!
//! The gateway sees servers through [`Upstreams`] and never learns whether one is a process or a URL, nor
//! which version of the protocol it speaks; the fleet never learns who the gateway's clients are.

mod abandoned;
mod failure;
mod handshake;
mod http;
mod limits;
pub(crate) mod line;
mod mailbox;
mod message;
mod mux;
mod notice;
mod splice;
mod stdio;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mcp_core::{Result, Scope};
use serde_json::value::RawValue;
use tokio::sync::broadcast;

pub use handshake::Era;
pub use http::{HttpClient, HttpUpstream};
pub use limits::Limits;
pub use stdio::StdioUpstream;

use crate::protocol::{ProtocolVersion, ServerName};

/// What a server said of itself at its handshake (`initialize` or `server/discover`).
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// The version spoken on this connection.
    pub version: ProtocolVersion,
    /// The whole result of `initialize` or `server/discover`, unread fields included.
    pub raw: Box<RawValue>,
    /// `capabilities` of it.
    pub capabilities: serde_json::Value,
    /// `instructions` of it.
    pub instructions: Option<String>,
}

/// The answer to one request. An error of the server's is an answer; an `Err` means there was none.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The `result`.
    Result(Box<RawValue>),
    /// The `error` object.
    Error(Box<RawValue>),
}

/// A notification of a server's that belongs to no call: a changed list, an updated resource.
///
/// Never a log message: a connection serves many principals, and one that belongs to no certain call may be
/// about the call of any of them.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its method, `notifications/tools/list_changed`.
    pub method: Arc<str>,
    /// Its parameters.
    pub params: Option<Arc<RawValue>>,
}

/// One live connection to one MCP server.
///
/// Promises, each with its test in the transports' shared suite:
/// 1. `call` answers or fails by the scope's deadline, and a late answer is dropped, never given to another.
/// 2. Dropping the future of `call` cancels it: the server is told (`notifications/cancelled`).
/// 3. Messages of the server that belong to a call reach its [`Downstream`] before its reply, in order.
/// 4. `params` and results pass unread; only the fields the protocol makes the connection's own (`id`,
///    `_meta.progressToken`) are rewritten, and a connection of a stateless version adds the keys of `_meta`
///    that the version requires where they are missing.
/// 5. When the connection ends, every call in flight fails with
///    [`Upstream`](mcp_core::ErrorKind::Upstream) and the server's name, at once.
#[async_trait]
pub trait Upstream: Send + Sync + fmt::Debug {
    /// The server's name in the fleet.
    fn name(&self) -> &ServerName;

    /// What the server said of itself.
    fn info(&self) -> &ServerInfo;

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// [`Upstream`](mcp_core::ErrorKind::Upstream) when the server is gone or breaks the protocol,
    /// [`DeadlineExceeded`](mcp_core::ErrorKind::DeadlineExceeded), [`TooLarge`](mcp_core::ErrorKind::TooLarge);
    /// each names the server.
    ///
    /// # Cancellation
    /// Safe: see promise 2.
    async fn call(
        &self,
        scope: &Scope,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply>;

    /// Sends one notification.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    async fn notify(&self, scope: &Scope, method: &str, params: Option<&RawValue>) -> Result<()>;

    /// The server's notifications that belong to no call, from now on.
    ///
    /// The channel is bounded: a receiver that falls behind learns so from `Lagged` and takes every list as
    /// changed. It closes when the connection ends, and when the server has forgotten the session and a
    /// new one took its place.
    fn notices(&self) -> broadcast::Receiver<Notice>;
}

/// The client's side of a call: where the server's messages that belong to it go.
#[async_trait]
pub trait Downstream: Send + Sync {
    /// Passes a notification (progress, log message) on.
    async fn notify(&self, method: &str, params: Option<&RawValue>);

    /// Passes a request of the server's (sampling, elicitation, roots) on and waits for the client's reply.
    ///
    /// # Errors
    /// [`Unsupported`](mcp_core::ErrorKind::Unsupported) where the client cannot be asked.
    async fn request(&self, method: &str, params: Option<&RawValue>) -> Result<Reply>;
}

/// A [`Downstream`] for calls whose caller listens to nothing but the reply.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deaf;

#[async_trait]
impl Downstream for Deaf {
    async fn notify(&self, _method: &str, _params: Option<&RawValue>) {}

    async fn request(&self, method: &str, _params: Option<&RawValue>) -> Result<Reply> {
        Err(mcp_core::Error::new(
            mcp_core::ErrorKind::Unsupported,
            "upstream.request",
            format!("this caller cannot answer `{method}`"),
        ))
    }
}

/// The servers a tenant may use.
#[async_trait]
pub trait Upstreams: Send + Sync + fmt::Debug {
    /// Names of the tenant's servers, in the operator's order. Starts nothing.
    fn names(&self, scope: &Scope) -> Vec<ServerName>;

    /// The tenant's connection to `server`, starting the server on first use.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) for a name the tenant has not,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) for a tenant that is closed,
    /// [`Upstream`](mcp_core::ErrorKind::Upstream) with a retry hint while the server is backing off; the
    /// reason is in its context alone, as it is for operators.
    ///
    /// # Cancellation
    /// Safe: a start that has begun goes on for the next caller.
    async fn connect(&self, scope: &Scope, server: &ServerName) -> Result<Arc<dyn Upstream>>;
}
