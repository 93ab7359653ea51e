//! Where signing keys are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::{PrincipalId, RequestId, TenantId},
};

/// Most signing keys a tenant can have; the oldest beyond it verify nothing.
pub const MAX_SIGNING_KEYS: u32 = 16;

/// A tenant's signing key as it is stored. The private half is sealed, bound to tenant and kid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name in the header of tokens, unique within the tenant: 1–64 characters of `[A-Za-z0-9_-]`.
    pub kid: String,
    /// The Ed25519 public key, 32 bytes.
    pub public: Vec<u8>,
    /// The PKCS #8 private key, sealed by the tenant's [data key](mcp_core::key::DataKeys), or, in a row from
    /// before there were data keys, by the [`MasterKey`](mcp_core::key::MasterKey) itself.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
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

    /// Records in the audit log that a token was issued. Called before the token is handed out; a backend
    /// without an audit log has nothing to do.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable); the token is then not handed out.
    async fn record(&self, scope: &PlatformScope, grant: &Grant) -> Result<()>;
}
