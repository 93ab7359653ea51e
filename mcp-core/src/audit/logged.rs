//! Denials in the log, for programs without an audit store.

use super::{AuditRecord, Chain, DenialLog};

/// A [`DenialLog`] that writes a log line for each denial and keeps nothing.
///
/// For programs that embed a layer and have no audit store; it gives no proof of what was denied.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoggedDenials;

impl DenialLog for LoggedDenials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        let tenant = match &chain {
            Chain::Tenant(tenant) => Some(tenant.as_str()),
            Chain::Platform => None,
        };
        tracing::warn!(
            tenant,
            actor = record.actor,
            action = %record.action,
            resource = record.resource,
            request_id = record.request_id,
            "denied"
        );
    }
}
