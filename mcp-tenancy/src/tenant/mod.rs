//! Tenants: what they are, where they are kept, and the directory every request asks.

mod directory;
mod file;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod isolation;
mod life;
mod load;
mod memory;
mod model;
mod name;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
mod receipt;
mod regions;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use directory::{DirectoryConfig, KnownTenant, Refusal, TenantDirectory};
pub use file::{DeclaredTenant, declared_tenants};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use isolation::TierModes;
pub use load::Loaded;
pub use mcp_core::scope::SchemaName;
pub use memory::MemoryTenantStore;
pub use model::{Deletion, NewTenant, Tenant, TenantFilter, TenantLimits, TenantProfile, TenantStatus};
pub use name::Name;
pub use operations::{DEFAULT_GRACE, MAX_GRACE};
#[cfg(feature = "postgres")]
pub use postgres::PostgresTenantStore;
pub use receipt::{ErasureReceipt, ErasureStep};
pub use regions::Regions;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteTenantStore;
pub(crate) use store::not_found;
pub use store::{MAX_PAGE, Page, TenantStore};
