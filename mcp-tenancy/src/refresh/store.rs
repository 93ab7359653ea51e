//! Where lineages of refresh tokens are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{PlatformScope, Result, clock::Timestamp};

use super::{FamilyId, Rotated, StoredFamily};

/// Most lineages of a principal; the one that was used the longest ago gives way to a new one.
pub const MAX_FAMILIES: u32 = 64;

/// Keeps lineages of refresh tokens.
///
/// Promises:
/// - **Only digests**: nothing stored lets anyone make a token.
/// - **One successor**: of many who redeem a token at once one succeeds; the others are told no.
/// - **Ending is final and idempotent**: an ended lineage stays so, with the time of the first end, and none
///   of its tokens is redeemed.
/// - **Bounded**: a principal has at most [`MAX_FAMILIES`]; those past their time go when another is added.
/// - **Durable when acknowledged**, on the backends that have a disk, beginnings and ends together with their
///   audit records.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait RefreshStore: Send + Sync + fmt::Debug {
    /// Adds a lineage.
    ///
    /// # Errors
    /// [`AlreadyExists`](mcp_core::ErrorKind::AlreadyExists) if the id is taken, `Unavailable`.
    async fn insert(&self, scope: &PlatformScope, family: StoredFamily) -> Result<()>;

    /// The lineage of that id, ended and expired ones too.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(&self, scope: &PlatformScope, id: &FamilyId) -> Result<Option<StoredFamily>>;

    /// Replaces the token of a lineage, if it is still `rotated.from` and the lineage has not ended. Says
    /// whether it was.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn rotate(&self, scope: &PlatformScope, id: &FamilyId, rotated: Rotated) -> Result<bool>;

    /// Ends a lineage. Without one of that id nothing happens.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn revoke(
        &self,
        scope: &PlatformScope,
        id: &FamilyId,
        at: Timestamp,
        reason: &'static str,
    ) -> Result<()>;
}

pub(super) fn already_exists() -> mcp_core::Error {
    mcp_core::Error::new(
        mcp_core::ErrorKind::AlreadyExists,
        "refresh.issue",
        "a lineage of refresh tokens with this id exists already",
    )
}
