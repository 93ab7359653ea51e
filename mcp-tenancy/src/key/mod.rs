//! API keys: `mcpk_{id}_{secret}`, shown once, stored as digests.

mod authenticator;
mod last_used;
mod memory;
mod model;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
mod recent;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod text;

pub use authenticator::ApiKeyAuthenticator;
pub use memory::MemoryKeyStore;
pub use model::{ApiKey, IssuedKey, NewApiKey, StoredKey};
pub(crate) use model::{refusal, validate};
pub use operations::MAX_OVERLAP;
#[cfg(feature = "postgres")]
pub use postgres::PostgresKeyStore;
pub(crate) use recent::{Former, Recent, Seen};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteKeyStore;
pub use store::{DEFAULT_KEY_LIMIT, KeyStore};
pub(crate) use store::{already_exists, parse_cursor};
pub use text::{KeyDigest, KeyId};
pub(crate) use text::{OPERATOR_PREFIX, PREFIX, Presented, generate, generate_id, generate_secret};
