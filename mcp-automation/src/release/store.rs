//! Where added servers are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, error::Detail};

use super::{AddedServer, NewServer, Refusal};
use crate::{
    protocol::ServerName,
    source::{Hash, Version},
};

/// Most servers of one page.
pub const MAX_PAGE: u32 = 200;

/// Keeps the servers that operators added, above tenants, and the states of their releases.
///
/// Promises:
/// - **One serves**: a server has exactly one active release, from the moment it is added; the one before it is
///   the previous one.
/// - **A version is one artifact**: staging a known version with another artifact is refused.
/// - **Failed is not used**: a release that failed serves again only after it was staged again, and the one that
///   serves cannot fail.
/// - **Idempotent**: staging or activating what is so already changes nothing, not even the revision.
/// - **Revisions grow** with every change of a server, and with nothing else.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all; the environment is sealed, and in neither event nor record.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait ReleaseStore: Send + Sync + fmt::Debug {
    /// Adds a server with its first release, which serves.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists), `Unavailable`.
    async fn add(&self, scope: &PlatformScope, server: NewServer) -> Result<AddedServer>;

    /// The server of that name.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupted` where its environment does not open.
    async fn get(&self, scope: &PlatformScope, name: &ServerName) -> Result<Option<AddedServer>>;

    /// Up to `limit` servers (1 to [`MAX_PAGE`]; other values are brought into that range) in the order of their
    /// names, after `after`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    async fn list(
        &self,
        scope: &PlatformScope,
        after: Option<&ServerName>,
        limit: u32,
    ) -> Result<Vec<AddedServer>>;

    /// Remembers a release that was installed.
    ///
    /// # Errors
    /// `NotFound`, [`Conflict`](ErrorKind::Conflict) for another artifact of a known version, `Unavailable`.
    async fn stage(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
        artifact: &Hash,
    ) -> Result<AddedServer>;

    /// Makes a release the one that serves.
    ///
    /// # Errors
    /// `NotFound` for an unknown server or release, `Conflict` for one that failed, `Unavailable`.
    async fn activate(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
    ) -> Result<AddedServer>;

    /// Says of a release that it failed its check, and why.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for the one that serves, `Unavailable`.
    async fn fail(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
        reason: &str,
    ) -> Result<AddedServer>;

    /// Removes a server and what is known of its releases; gives what there was.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn remove(&self, scope: &PlatformScope, name: &ServerName) -> Result<AddedServer>;

    /// Records that a server was not added, for those who read the log; there is nothing else of it.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn refused(&self, scope: &PlatformScope, refusal: &Refusal) -> Result<()>;
}

pub(super) fn not_found(name: &ServerName) -> Error {
    Error::not_found("server.find", format!("no server `{name}` was added"))
        .with_detail(Detail::Server { name: name.to_string() })
}

pub(super) fn already_exists(name: &ServerName) -> Error {
    Error::new(ErrorKind::AlreadyExists, "server.add", format!("there is a server `{name}` already"))
        .with_detail(Detail::Server { name: name.to_string() })
}
