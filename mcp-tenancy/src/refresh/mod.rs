//! Refresh tokens: `mcpr_{family}_{secret}`, of which each lineage has one at a time.
//!
//! A redeemed token is replaced; whoever redeems one that was replaced before has it from somewhere else, and
//! the whole lineage ends. A client whose answer was lost may try again: for a few seconds, and until the
//! successor is used, a replaced token answers with that same successor, so that however many redeem it at
//! once, one lineage goes on. The successor is derived from the token that it replaces and a nonce, and
//! neither is stored: what is stored lets nobody make it.

mod family;
mod memory;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
mod response;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod text;

pub use family::{FamilyId, Rotated, StoredFamily};
pub use memory::MemoryRefreshStore;
pub use operations::{RefreshConfig, TokenRequest};
#[cfg(feature = "postgres")]
pub use postgres::PostgresRefreshStore;
pub use response::TokenResponse;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRefreshStore;
pub use store::{MAX_FAMILIES, RefreshStore};
