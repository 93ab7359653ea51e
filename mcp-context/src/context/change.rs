//! The events of changes: CloudEvents `com.mcp.tenant.context.created`, `.updated` and `.deleted`.

use mcp_core::{clock::Timestamp, event::Event, scope::TenantId};
use serde_json::{Map, Value, json};

use super::{Appended, ContextHead, ContextId, HISTORY};

const SOURCE: &str = "context-service";

/// A context was made; its data is in `changes`.
pub(super) fn created(head: &ContextHead, data: Map<String, Value>) -> Event {
    let about = About { tenant: &head.tenant, id: &head.id, user: &head.user_id, at: head.updated_at };
    about.event("created", "create", head.version, Value::Object(data))
}

/// Messages were appended; their numbers are in `changes`, what they say is not.
pub(super) fn appended(about: &About<'_>, appended: Appended) -> Event {
    let Appended { version, first_seq, last_seq } = appended;
    let changes = json!({ HISTORY: { "first_seq": first_seq, "last_seq": last_seq } });
    about.event("updated", "append", version, changes)
}

/// Data was patched; the patch is in `changes`.
pub(super) fn patched(head: &ContextHead, patch: Map<String, Value>) -> Event {
    let about = About { tenant: &head.tenant, id: &head.id, user: &head.user_id, at: head.updated_at };
    about.event("updated", "update", head.version, Value::Object(patch))
}

/// A context was deleted, in `version`.
pub(super) fn deleted(about: &About<'_>, version: i64) -> Event {
    about.event("deleted", "delete", version, json!({}))
}

/// Which context an event is about.
pub(super) struct About<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) id: &'a ContextId,
    pub(super) user: &'a str,
    pub(super) at: Timestamp,
}

impl About<'_> {
    fn event(&self, done: &str, operation: &str, version: i64, changes: Value) -> Event {
        let data = json!({
            "tenantId": self.tenant, "contextId": self.id, "userId": self.user, "operation": operation,
            "version": version, "changes": changes, "timestamp": self.at,
        });
        Event::new(format!("com.mcp.tenant.context.{done}"), SOURCE, data)
            .with_subject(format!("{}/{}", self.tenant, self.id))
    }
}
