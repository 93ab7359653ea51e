//! Where operator keys are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, PlatformScope, Result};

use super::{OperatorKey, StoredOperatorKey};
use crate::{key::KeyId, tenant::Page};

/// Keeps the keys of operators, apart from those of tenants: an id of one kind finds nothing of the other.
///
/// Promises:
/// - **Only the digest**: nothing stored lets anyone make the key's text.
/// - **Revoking is final and idempotent**: a revoked key stays revoked, its time of revocation unchanged.
/// - **Lists are complete and in order**: every key is on exactly one page.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait OperatorKeyStore: Send + Sync + fmt::Debug {
    /// Adds a key.
    ///
    /// # Errors
    /// [`AlreadyExists`](mcp_core::ErrorKind::AlreadyExists) if the id is taken, `Unavailable`.
    async fn insert(&self, scope: &PlatformScope, key: StoredOperatorKey) -> Result<()>;

    /// The key of that id, revoked and expired ones too.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredOperatorKey>>;

    /// Up to `limit` keys (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE); other values are brought into that
    /// range) in the order of their ids, after the one `cursor` names.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn list(
        &self,
        scope: &PlatformScope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<OperatorKey>>;

    /// Revokes a key.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn revoke(&self, scope: &PlatformScope, id: &KeyId) -> Result<OperatorKey>;
}

pub(crate) fn not_found(id: &KeyId) -> Error {
    Error::not_found("operator_key.revoke", format!("there is no operator key `{id}`"))
}
