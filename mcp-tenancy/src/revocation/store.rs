//! Where revocations are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, scope::TenantId};

use super::{DeniedToken, RevocationChange};

/// Keeps what is refused although it has not expired.
///
/// Promises:
/// - **A token is denied once**: denying it again changes nothing, or moves the end of the denial to a later time,
///   never to an earlier one.
/// - **An epoch never goes back**: ending all of a tenant's tokens again gives the same or a later time.
/// - **No skipped change**: revisions are unique, grow, and become visible in their order, so a reader who asks
///   [`changes_since`](Self::changes_since) the last revision it saw misses no change.
/// - **Only what has expired is pruned**, and epochs never.
/// - **Bounded**: a tenant has at most as many denied tokens that have not expired as the store was made for,
///   [`MAX_DENIED`](super::MAX_DENIED) unless said otherwise.
/// - **Tenants apart**: equal token ids of two tenants, or of two issuers, are different tokens.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait RevocationStore: Send + Sync + fmt::Debug {
    /// Denies one token until it expires.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), [`TooLarge`](ErrorKind::TooLarge) beyond the bound,
    /// [`Unavailable`](ErrorKind::Unavailable).
    async fn deny(&self, scope: &PlatformScope, token: DeniedToken) -> Result<RevocationChange>;

    /// Ends every token of the tenant that was issued until now.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable).
    async fn end_all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<RevocationChange>;

    /// Up to `limit` revocations (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE); other values are brought into that
    /// range) changed after `revision`, oldest change first. Zero asks for all.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable).
    async fn changes_since(
        &self,
        scope: &PlatformScope,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<RevocationChange>>;

    /// Forgets up to `limit` denied tokens that have expired, and says how many.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable).
    async fn prune(&self, scope: &PlatformScope, limit: u32) -> Result<u64>;
}

pub(super) fn too_many(most: u32) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "token.revoke",
        format!("the tenant has {most} revoked tokens that have not expired; end all its tokens instead"),
    )
}
