//! What a change makes: the memory, its event and its audit record, the same in every backend.

use mcp_core::{Scope, audit::AuditRecord, clock::Timestamp, event::Event};
use serde_json::json;

use super::{Memory, MemoryId, NewMemory};

/// The memory `new` becomes.
pub(super) fn created(scope: &Scope, new: NewMemory, now: Timestamp) -> Memory {
    let NewMemory { namespace, text, metadata } = new;
    let author = scope.principal().id.to_string();
    Memory { id: MemoryId::generate(), namespace, text, metadata, author, created_at: now }
}

/// `done` is `remembered` or `forgotten`. What the text says is not in the event.
pub(super) fn event(scope: &Scope, done: &str, id: &MemoryId, namespace: &str) -> Event {
    let tenant = scope.tenant();
    let data = json!({ "tenantId": tenant, "memoryId": id, "namespace": namespace, "operation": done });
    Event::new(format!("com.mcp.tenant.memory.{done}"), "context-service", data)
        .with_subject(format!("{tenant}/{id}"))
}

/// Who made a memory go away for good.
pub(super) fn audited(scope: &Scope, id: &MemoryId) -> AuditRecord {
    AuditRecord::done(scope, "memory.forget", format!("memory/{id}"))
}
