//! Tokens that end before they expire: one by one, or all of a tenant that were issued so far.
//!
//! A [`RevocationStore`] keeps them, a [`RevocationDirectory`] follows the store in every replica, and whatever
//! verifies tokens, the platform's own or foreign ones, asks the directory on each use of a token.

mod directory;
mod memory;
mod model;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use directory::RevocationDirectory;
pub use memory::MemoryRevocationStore;
pub use model::{DeniedToken, MAX_DENIAL, MAX_DENIED, MAX_TOKEN_ID_LEN, Revocation, RevocationChange};
#[cfg(feature = "postgres")]
pub use postgres::PostgresRevocationStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRevocationStore;
pub use store::RevocationStore;
