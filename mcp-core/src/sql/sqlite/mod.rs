//! The embedded kernel: `control.db`, and a file per tenant or one file shared by code.

mod config;
mod db;
mod erase;
mod kernel;
mod migrate;
mod placement;
mod rows;

pub use config::SqliteConfig;
pub use erase::SqliteEraser;
pub use kernel::SqliteKernel;

/// A transaction on one tenant's data.
pub type TenantTx = super::TenantTx<sqlx::Sqlite>;
/// A read of one tenant's data.
pub type TenantRead = super::TenantRead<sqlx::Sqlite>;
/// A transaction on the control tables.
pub type ControlTx = super::ControlTx<sqlx::Sqlite>;
/// A read of the control tables.
pub type ControlRead = super::ControlRead<sqlx::Sqlite>;
