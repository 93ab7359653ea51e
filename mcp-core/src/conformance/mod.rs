//! Suites that show that backends mean the same: one case per promise.
//!
//! A case answers with what did not hold, so that a suite can be run against a backend that is broken on
//! purpose, and must then say so.

mod audit;
mod audit_cases;
mod audit_export_cases;
mod bus;
mod cancel;
mod data_keys;
mod key_vault;
mod lease;
#[cfg(feature = "postgres")]
mod pg;
#[cfg(feature = "postgres")]
mod pgbouncer;
mod report;
mod sql;
mod sql_cases;

pub use audit::{AuditHarness, run_audit};
pub use bus::run_bus;
pub use cancel::{Cut, cancel_at};
pub use data_keys::run_data_key_store;
pub use key_vault::{MakeVault, VaultHarness, run_key_vault};
pub use lease::run_leases;
#[cfg(feature = "postgres")]
pub use pg::PgTestDatabase;
pub use report::{Failure, Outcome, Report, ensure, eventually};
pub use sql::{Fault, Faulty, PROBE, SqlHarness, Subject, platform, run_sql, scope_of};
