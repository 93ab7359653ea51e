//! Where API keys are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, clock::Timestamp, scope::TenantId};

use super::{ApiKey, KeyDigest, KeyId, StoredKey};
use crate::tenant::Page;

/// How many keys that can be used a tenant may have, unless its operator says otherwise.
pub const DEFAULT_KEY_LIMIT: u32 = 1000;

/// Keeps API keys, by id, across all tenants: which tenant a key belongs to is known only once it is found.
///
/// Promises:
/// - **Only the digest**: nothing stored lets anyone make the key's text.
/// - **Revoking is final and idempotent**: a revoked key stays revoked, its time of revocation unchanged.
/// - **Bounded**: of keys that can be used no tenant has more than the limit it was inserted under, however
///   many are inserted at once.
/// - **Rotating leaves two secrets at most**: the new one, and the one before it until the given time. A
///   revoked key is not rotated.
/// - **Use moves forward**: the time a key was last used never goes back, and using unknown keys is no error.
/// - **Tenants apart**: `list`, `rotate` and `revoke` see the given tenant's keys only; another tenant's key id answers
///   what an unknown id answers.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// Adds a key, if its tenant has fewer than `limit` that can be used at `key.created_at`.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the id is taken, [`Conflict`](ErrorKind::Conflict) if
    /// the tenant has `limit` keys, `Unavailable`.
    async fn insert(&self, scope: &PlatformScope, key: StoredKey, limit: u32) -> Result<()>;

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

    /// Gives a key of the tenant another secret; the one before is good until `until`, if that is given.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for a revoked key, `Unavailable`.
    async fn rotate(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
        digest: KeyDigest,
        until: Option<Timestamp>,
    ) -> Result<ApiKey>;

    /// Notes when keys (500 at most, in the order of their ids) were used. No change worth a record.
    ///
    /// # Errors
    /// `InvalidInput` for more keys, `Unavailable`.
    async fn used(&self, scope: &PlatformScope, used: &[(KeyId, Timestamp)]) -> Result<()>;

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

pub(crate) fn not_found(operation: &'static str, id: &KeyId) -> Error {
    Error::not_found(operation, format!("the tenant has no key `{id}`"))
}

pub(crate) fn too_many(limit: u32) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "key.create",
        format!("the tenant has {limit} keys, as many as it may have; revoke those that are not used"),
    )
}

pub(crate) fn is_revoked(id: &KeyId) -> Error {
    Error::new(ErrorKind::Conflict, "key.rotate", format!("the key `{id}` is revoked; create another"))
}

pub(crate) fn already_exists() -> Error {
    Error::new(ErrorKind::AlreadyExists, "key.create", "a key with this id exists already")
}
