//! The kernel on PostgreSQL 15 and later: shared tables under row-level security, a schema per tenant, or a
//! database per tenant; three roles; fit for PgBouncer in transaction mode.
//!
//! Behind a transaction pooler a statement must not have a name, as the next transaction may meet another
//! server. sqlx names statements unless told otherwise, so use [`query`], [`query_as`] and [`query_scalar`]
//! of this module instead of sqlx's; where speed counts, with `persistent(tx.prepares())`, which gives a name
//! where [`PgConfig::named_statements`] says that one means something.

mod config;
mod db;
mod erase;
mod kernel;
mod migrate;
mod placement;
mod places;
mod rows;
mod secure;

use sqlx::{
    FromRow, Postgres, SqlSafeStr,
    postgres::{PgArguments, PgRow},
    query::{Query, QueryAs, QueryScalar},
};

pub use config::{PgConfig, PgRegion};
pub use erase::PgEraser;
pub use kernel::PgKernel;

/// A transaction on one tenant's data.
pub type TenantTx = super::TenantTx<Postgres>;
/// A read of one tenant's data.
pub type TenantRead = super::TenantRead<Postgres>;
/// A transaction on the control tables.
pub type ControlTx = super::ControlTx<Postgres>;
/// A read of the control tables.
pub type ControlRead = super::ControlRead<Postgres>;

/// `sqlx::query` without a named statement.
pub fn query(sql: impl SqlSafeStr) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// `sqlx::query_as` without a named statement.
pub fn query_as<O>(sql: impl SqlSafeStr) -> QueryAs<'static, Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// `sqlx::query_scalar` without a named statement.
pub fn query_scalar<O>(sql: impl SqlSafeStr) -> QueryScalar<'static, Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}
