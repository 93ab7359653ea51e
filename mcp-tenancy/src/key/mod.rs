//! API keys: `mcpk_{id}_{secret}`, shown once, stored as digests.

mod authenticator;
mod memory;
mod model;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod text;

pub use authenticator::ApiKeyAuthenticator;
pub use memory::MemoryKeyStore;
pub use model::{ApiKey, IssuedKey, NewApiKey, StoredKey};
#[cfg(feature = "postgres")]
pub use postgres::PostgresKeyStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteKeyStore;
pub use store::KeyStore;
pub(crate) use text::generate;
pub use text::{KeyDigest, KeyId};
