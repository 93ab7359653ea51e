//! Tokens the platform issues itself: JWTs signed with EdDSA, a key per tenant.

mod authenticator;
mod claims;
mod issuer;
mod keyring;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
mod sealing;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod verifier;

pub use authenticator::PlatformJwtAuthenticator;
pub use claims::Claims;
pub use issuer::{IssuedToken, TokenConfig, TokenIssuer};
pub use keyring::Keyring;
pub use memory::MemorySigningKeyStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresSigningKeyStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteSigningKeyStore;
pub use store::{Grant, MAX_SIGNING_KEYS, SigningKey, SigningKeyStore};
pub use verifier::{TokenVerifier, Verdict, VerifiedToken};

/// Longest token that is issued or looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;
