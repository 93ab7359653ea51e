//! Tokens the platform issues itself: JWTs signed with keys of the tenant, which rotate.

mod algorithm;
mod authenticator;
mod claims;
mod issuer;
mod keyring;
mod memory;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
mod rotation;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
mod sealing;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod verifier;

use mcp_core::{Error, ErrorKind};

pub use algorithm::SigningAlgorithm;
pub use authenticator::PlatformJwtAuthenticator;
pub use claims::Claims;
pub use issuer::{IssuedToken, TokenConfig, TokenIssuer};
pub use keyring::Keyring;
pub use memory::MemorySigningKeyStore;
pub use operations::SigningKeyInfo;
#[cfg(feature = "postgres")]
pub use postgres::PostgresSigningKeyStore;
pub use rotation::{KeyState, MAX_LEAD, MIN_LEAD, Rotation};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteSigningKeyStore;
pub use store::{Grant, MAX_SIGNING_KEYS, SigningKey, SigningKeyStore};
pub use verifier::{TokenVerifier, Verdict, VerifiedToken};

/// Longest token that is issued or looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;

/// A stored signing key that is none.
fn damaged_key() -> Error {
    Error::new(ErrorKind::Corrupted, "token.key", "a stored signing key is damaged")
}
