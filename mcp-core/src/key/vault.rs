//! What wraps data keys.

use std::fmt;

use async_trait::async_trait;

use super::Secret;
use crate::{error::Result, scope::TenantId};

/// The 256 bits of a data key.
pub type KeyBytes = Secret<[u8; 32]>;

/// Which data key it is. A wrapped key opens in its place only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPlace<'a> {
    /// Whose key.
    pub tenant: &'a TenantId,
    /// The key's number among the tenant's: 1, 2, 3 …
    pub version: u32,
}

/// A data key that only its vault can open.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Names the key it is wrapped by, with its version: `master:0a1b2c3d`, `transit/platform:v3`. Not a secret.
    pub wrapping_key: String,
    /// The wrapped bytes, at most 4 KiB.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({}, {} bytes)", self.wrapping_key, self.bytes.len())
    }
}

/// Wraps data keys under keys of its own, which never leave it.
///
/// # What it promises
/// 1. What it wrapped opens to the same key, in the place it was wrapped for and in no other.
/// 2. What was altered or cut, and what another vault wrapped, does not open; no wrong key is ever answered.
/// 3. The wrapped form shows nothing of the key, and wrapping a key twice shows not that it is one.
/// 4. The name of the wrapping key changes when the wrapping key is rotated; what is wrapped from then on bears
///    the new name, and what was wrapped before still opens.
/// 5. Wrapping anew keeps the key and its place and bears the current name; what bears it already is left.
///
/// The suite in `conformance` (feature `conformance`) has a test for each. A vault need not limit how long it
/// takes: [`DataKeys`](super::DataKeys) does.
///
/// # Cancellation
/// A vault keeps nothing of a call, so any may be dropped.
#[async_trait]
pub trait KeyVault: Send + Sync + fmt::Debug {
    /// Wraps a key under the current wrapping key.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the vault is away,
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it refuses this platform,
    /// [`Upstream`](crate::ErrorKind::Upstream) if it answers nonsense.
    async fn wrap_key(&self, place: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey>;

    /// Opens a wrapped key.
    ///
    /// # Errors
    /// As [`wrap_key`](Self::wrap_key); [`Corrupted`](crate::ErrorKind::Corrupted) if it was altered, belongs
    /// elsewhere or was wrapped by a key that this vault no longer has.
    async fn unwrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes>;

    /// Wraps a wrapped key anew, under the current wrapping key; `None` if it is wrapped by that already.
    ///
    /// # Errors
    /// As [`unwrap_key`](Self::unwrap_key).
    async fn rewrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<Option<WrappedKey>>;

    /// Names the wrapping key that is current, as [`WrappedKey::wrapping_key`] does.
    ///
    /// # Errors
    /// As [`wrap_key`](Self::wrap_key).
    async fn current_key(&self) -> Result<String>;
}
