//! Where API keys are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, PlatformScope, Result, scope::TenantId};

use super::{ApiKey, KeyId, StoredKey};
use crate::tenant::Page;

/// Keeps API keys, by id, across all tenants: which tenant a key belongs to is known only once it is found.
///
/// Promises:
/// - **Only the digest**: nothing stored lets anyone make the key's text.
/// - **Revoking is final and idempotent**: a revoked key stays revoked, its time of revocation unchanged.
/// - **Tenants apart**: `list` and `revoke` see the given tenant's keys only; another tenant's key id answers
///   what an unknown id answers.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// Adds a key.
    ///
    /// # Errors
    /// [`AlreadyExists`](mcp_core::ErrorKind::AlreadyExists) if the id is taken, `Unavailable`.
    async fn insert(&self, scope: &PlatformScope, key: StoredKey) -> Result<()>;

    /// The key of that id, revoked and expired ones too.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredKey>>;

    /// Up to `limit` keys of the tenant (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE); other values are brought
    /// into that range) in the order of their ids, after the one `cursor` names.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApiKey>>;

    /// Revokes a key of the tenant.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn revoke(&self, scope: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey>;
}

/// The id a list goes on after.
pub(crate) fn parse_cursor(cursor: Option<&str>) -> Result<Option<KeyId>> {
    cursor.map(KeyId::parse).transpose().map_err(|error| {
        Error::invalid_input("key.list", "the cursor is not one this list gave; start without one")
            .with_source(error)
    })
}

pub(crate) fn not_found(id: &KeyId) -> Error {
    Error::not_found("key.revoke", format!("the tenant has no key `{id}`"))
}

pub(crate) fn already_exists() -> Error {
    Error::new(mcp_core::ErrorKind::AlreadyExists, "key.create", "a key with this id exists already")
}
