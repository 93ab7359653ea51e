//! The audit log: what was changed or denied, by whom, in a chain that shows every removal and alteration.

#[cfg(feature = "sql")]
mod entry;
mod logged;
mod record;

#[cfg(feature = "sql")]
pub use entry::{Entry, MAX_DETAIL_BYTES};
pub use logged::LoggedDenials;
pub use record::{AuditRecord, Chain, DenialLog, Outcome};
