//! Tenants: what they are, where they are kept, and the directory every request asks.

mod directory;
mod file;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod isolation;
mod memory;
mod model;
mod name;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use directory::{DirectoryConfig, KnownTenant, TenantDirectory};
pub use file::{DeclaredTenant, declared_tenants};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use isolation::TierModes;
pub use mcp_core::scope::SchemaName;
pub use memory::MemoryTenantStore;
pub use model::{NewTenant, Tenant, TenantLimits, TenantProfile, TenantStatus};
pub use name::Name;
#[cfg(feature = "postgres")]
pub use postgres::PostgresTenantStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTenantStore;
pub(crate) use store::not_found;
pub use store::{MAX_PAGE, Page, TenantStore};
