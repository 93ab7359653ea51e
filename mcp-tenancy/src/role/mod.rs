//! Roles: named sets of permissions of one tenant, which inherit from each other and are given to principals.
//!
//! A role belongs to the tenant it was made in and means nothing outside of it: equal names of two tenants
//! are two roles. [`RoleDirectory`] says what a principal's roles come to; who may change them is decided by
//! [`RoleAdmin`].

mod admin;
mod directory;
mod memory;
mod model;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use admin::{READ_ROLES, RoleAdmin, WRITE_ROLES};
pub use directory::{RoleDirectory, USE_ROLES};
pub use memory::MemoryRoleStore;
pub use model::{Granted, MAX_DEPTH, MAX_PARENTS, MAX_ROLES, MAX_ROLES_HELD, NewRole, Role, RoleName};
#[cfg(feature = "postgres")]
pub use postgres::PostgresRoleStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRoleStore;
pub use store::RoleStore;
