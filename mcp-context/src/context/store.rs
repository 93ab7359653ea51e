//! Where contexts are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    clock::Timestamp,
    error::{Detail, Retry},
};
use serde_json::{Map, Value};

use super::{Append, Appended, Context, ContextHead, ContextId, Message, NewContext};
use crate::page::{Page, unknown_cursor};

/// Most messages a [`read`](ContextStore::read) gives.
pub const MAX_NEWEST: u32 = 1000;

/// Which contexts, latest created first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextQuery {
    /// Those of this user. Default: of all.
    pub user_id: Option<String>,
    /// Those of this session. Default: of all.
    pub session_id: Option<String>,
    /// [`Page::next_cursor`] of the page before. Default: the first page.
    pub cursor: Option<String>,
    /// How many; brought into 1 to [`MAX_PAGE`](crate::MAX_PAGE). Default 50.
    pub limit: u32,
}

impl Default for ContextQuery {
    fn default() -> Self {
        Self { user_id: None, session_id: None, cursor: None, limit: 50 }
    }
}

/// Which messages of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageQuery {
    /// [`Page::next_cursor`] of the page before: the number of its last message. Default: the first page.
    pub cursor: Option<String>,
    /// How many; brought into 1 to [`MAX_PAGE`](crate::MAX_PAGE). Default 50.
    pub limit: u32,
    /// The newest first. Default: the oldest first.
    pub newest_first: bool,
}

impl Default for MessageQuery {
    fn default() -> Self {
        Self { cursor: None, limit: 50, newest_first: false }
    }
}

/// Keeps contexts.
///
/// Promises:
/// - **Nothing lost, nothing twice**: of any number of appends at once each is there whole, once, and in
///   numbers without gaps; each change counts the version up by one.
/// - **No lost update**: a change that names a version happens only to that version; else it is a
///   [`Conflict`](mcp_core::ErrorKind::Conflict) with the current version, and nothing changes. So of many
///   that name the same version one succeeds.
/// - **Trying again is safe**: with an idempotency key that was used before, for a day at least,
///   [`create`](Self::create) answers with the context it made, as it is now, and [`append`](Self::append)
///   with what it came to; used for another request the key is a `Conflict`. The keys of a tenant are its own.
/// - **Tenants are kept apart**: another tenant's context is
///   [`NotFound`](mcp_core::ErrorKind::NotFound), in the very words of one that never was.
/// - **Lists are complete and in order**: pages show each context that was there when the first was asked,
///   once, whatever is created meanwhile.
/// - **One change, one event**: state and event (and, where something is deleted, audit record) are committed
///   together or not at all; a refused change has none.
/// - **Bounded**: what is larger than [`ContextLimits`](super::ContextLimits) is refused, and names the limit.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait ContextStore: Send + Sync + fmt::Debug {
    /// Creates a context with version 1 and no messages.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) and [`TooLarge`](mcp_core::ErrorKind::TooLarge) that
    /// name the field; `Conflict` for a key that was used otherwise;
    /// [`RateLimited`](mcp_core::ErrorKind::RateLimited) where the tenant has
    /// [`at_most`](NewContext::at_most) contexts; [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    async fn create(&self, scope: &Scope, new: NewContext) -> Result<Context>;

    /// The context with its `newest` messages (at most [`MAX_NEWEST`]), as of one moment.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn read(&self, scope: &Scope, id: &ContextId, newest: u32) -> Result<Context>;

    /// A page of contexts.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this list did not give, `Unavailable`.
    async fn list(&self, scope: &Scope, query: &ContextQuery) -> Result<Page<ContextHead>>;

    /// A page of a context's messages.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` for a cursor this list did not give, `Unavailable`.
    async fn messages(&self, scope: &Scope, id: &ContextId, query: &MessageQuery) -> Result<Page<Message>>;

    /// Appends messages: all or none.
    ///
    /// # Errors
    /// `InvalidInput` and `TooLarge` that name the message; `NotFound`; `Conflict` with the current version,
    /// or for a key that was used otherwise; `Unavailable`.
    async fn append(&self, scope: &Scope, id: &ContextId, append: Append) -> Result<Appended>;

    /// Merges `patch` into the context's data (RFC 7396: null removes, objects are merged, everything else
    /// replaces). The answer has no messages.
    ///
    /// # Errors
    /// `InvalidInput` where it touches [`HISTORY`](super::HISTORY); `TooLarge`; `NotFound`; `Conflict` with
    /// the current version; `Unavailable`.
    async fn patch(
        &self,
        scope: &Scope,
        id: &ContextId,
        patch: Map<String, Value>,
        expected_version: i64,
    ) -> Result<Context>;

    /// Deletes the context and its messages, in any version where none is named.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` with the current version, `Unavailable`.
    async fn delete(&self, scope: &Scope, id: &ContextId, expected_version: Option<i64>) -> Result<()>;
}

/// The id a list of contexts goes on after.
pub(super) fn parse_context_cursor(cursor: Option<&str>) -> Result<Option<ContextId>> {
    cursor.map(ContextId::parse).transpose().map_err(|_| unknown_cursor("context.list"))
}

/// The number a list of messages goes on after; without a cursor one before the first of them.
pub(super) fn parse_message_cursor(query: &MessageQuery) -> Result<i64> {
    match &query.cursor {
        None if query.newest_first => Ok(i64::MAX),
        None => Ok(0),
        Some(text) => {
            let seq = text.parse::<i64>().ok().filter(|seq| *seq >= 1 && seq.to_string() == *text);
            seq.ok_or_else(|| unknown_cursor("context.messages"))
        }
    }
}

/// The same words whether it never was, was deleted or is another tenant's.
pub(super) fn not_found(operation: &'static str) -> Error {
    Error::not_found(operation, "there is no such context")
}

pub(super) fn stale(operation: &'static str, current: i64) -> Error {
    let message = format!("the context has changed; it now has version {current}");
    Error::new(ErrorKind::Conflict, operation, message).with_detail(Detail::Conflict { current })
}

pub(super) fn key_reused(operation: &'static str) -> Error {
    let message = "this idempotency key was used for another request; use a new key";
    Error::new(ErrorKind::Conflict, operation, message)
}

pub(super) fn too_many(limit: u32) -> Error {
    let message = format!("the tenant has {limit} contexts, which is its limit; delete some that are done");
    Error::new(ErrorKind::RateLimited, "context.create", message).with_retry(Retry::Never)
}

/// The context `new` becomes.
pub(super) fn created(scope: &Scope, new: &NewContext, id: ContextId, now: Timestamp) -> ContextHead {
    let principal = || scope.principal().id.to_string();
    ContextHead {
        id,
        tenant: scope.tenant().clone(),
        user_id: new.user_id.clone().unwrap_or_else(principal),
        session_id: new.session_id.clone(),
        created_at: now,
        updated_at: now,
        version: 1,
        messages: 0,
    }
}
