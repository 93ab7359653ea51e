//! Tenants: what they are, where they are kept, and the directory every request asks.

mod directory;
mod file;
mod memory;
mod model;
mod name;
mod store;

pub use directory::{DirectoryConfig, KnownTenant, TenantDirectory};
pub use file::{DeclaredTenant, declared_tenants};
pub use memory::MemoryTenantStore;
pub use model::{NewTenant, Tenant, TenantLimits, TenantProfile, TenantStatus};
pub use name::{Name, SchemaName};
pub(crate) use store::not_found;
pub use store::{MAX_PAGE, Page, TenantStore};
