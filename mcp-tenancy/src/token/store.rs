//! Where signing keys are kept.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::{PrincipalId, RequestId, TenantId},
};

use super::SigningAlgorithm;

/// Most signing keys a tenant can have; the oldest beyond it verify nothing.
pub const MAX_SIGNING_KEYS: u32 = 16;

/// A tenant's signing key as it is stored. The private half is sealed, bound to tenant and kid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name in the header of tokens, unique within the tenant: 1–64 characters of `[A-Za-z0-9_-]`.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// The public key: of Ed25519 its 32 bytes, of P-256 the uncompressed point (65), of RSA PKCS #1 DER.
    pub public: Vec<u8>,
    /// The PKCS #8 private key, sealed by the tenant's [data key](mcp_core::key::DataKeys), or, in a row from
    /// before there were data keys, by the [`MasterKey`](mcp_core::key::MasterKey) itself.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
    /// From when it does not; `None` while no other follows it.
    pub signs_until: Option<Timestamp>,
    /// From when it verifies nothing; `None` while no other follows it.
    pub verifies_until: Option<Timestamp>,
}

/// That a token was issued: what an auditor needs of it, and nothing that lets anyone use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The tenant it is for.
    pub tenant: TenantId,
    /// Whom it speaks for.
    pub principal: PrincipalId,
    /// The token's id, `jti`.
    pub token: RequestId,
    /// When the token ends.
    pub expires_at: Timestamp,
}

/// Keeps signing keys, and the record of what was signed.
///
/// Promises:
/// - **One first key**: of many who bring a tenant's first key at once, one key is kept and all get that one.
/// - **One next key**: of many who rotate a tenant's keys at once one succeeds, the others get
///   [`Conflict`](mcp_core::ErrorKind::Conflict); the key that signed until then verifies for the overlap.
/// - **The key that signs stays**: it is not removed; a next key that is removed leaves the one before it as
///   it was.
/// - **Tenants apart**: a tenant's keys are found under its id only; equal kids of two tenants are two keys.
/// - **Durable when acknowledged**, on the backends that have a disk, together with its audit record.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait SigningKeyStore: Send + Sync + fmt::Debug {
    /// The tenant's keys, newest first, at most [`MAX_SIGNING_KEYS`].
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    async fn keys(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<SigningKey>>;

    /// Keeps `key` if the tenant has none, and answers with the newest key it then has.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    async fn first(&self, scope: &PlatformScope, key: SigningKey) -> Result<SigningKey>;

    /// Keeps `key` as the tenant's next. The key that signs now does so until `key.active_from`, and verifies
    /// for `overlap` after that; keys that verify nothing any more are deleted. Answers with the key as it is
    /// kept: active at once where the tenant has no other.
    ///
    /// # Errors
    /// [`Conflict`](mcp_core::ErrorKind::Conflict) if the tenant has a next key, or [`MAX_SIGNING_KEYS`] that
    /// still verify; [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    async fn rotate(&self, scope: &PlatformScope, key: SigningKey, overlap: Duration) -> Result<SigningKey>;

    /// Deletes a key that does not sign at `now`: a next one, so that the rotation does not happen, or a
    /// retiring one, so that nothing it signed verifies any more.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for the key that signs, `Unavailable`.
    async fn remove(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        now: Timestamp,
    ) -> Result<SigningKey>;

    /// Records in the audit log that a token was issued. Called before the token is handed out; a backend
    /// without an audit log has nothing to do.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable); the token is then not handed out.
    async fn record(&self, scope: &PlatformScope, grant: &Grant) -> Result<()>;
}
