//! Keys of operators: `mcpo_{id}_{secret}`, shown once, stored as digests.
//!
//! Who holds one acts above tenants: [`AuthenticateOperatorLayer`](crate::layer::AuthenticateOperatorLayer)
//! gives its requests a [`PlatformScope`](mcp_core::PlatformScope). It is nobody within a tenant, and no key
//! or token of a tenant is an operator's.

mod authenticator;
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

pub use authenticator::{Operator, OperatorAuthenticator};
pub use memory::MemoryOperatorKeyStore;
pub use model::{IssuedOperatorKey, NewOperatorKey, OperatorKey, StoredOperatorKey};
#[cfg(feature = "postgres")]
pub use postgres::PostgresOperatorKeyStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteOperatorKeyStore;
pub use store::OperatorKeyStore;
