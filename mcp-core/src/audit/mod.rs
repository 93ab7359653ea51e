//! The audit log: what was changed or denied, by whom, in a chain that shows every removal and alteration.

mod record;

pub use record::{AuditRecord, Chain, DenialLog, Outcome};
