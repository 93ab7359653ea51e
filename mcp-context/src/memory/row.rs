//! Memories as rows, and their events.

use aws_lc_rs::digest::{SHA256, digest};
use mcp_core::{Result, Scope, clock::Timestamp, event::Event};
use serde_json::json;

use super::{Memory, MemoryId, Namespace, NewMemory};
use crate::sql::damaged;

macro_rules! memories {
    ($rest:literal) => {
        concat!("SELECT id, namespace, text, metadata, author, created_at FROM memory ", $rest)
    };
}

pub(super) const SAME: &str = memories!("WHERE tenant_id = $1 AND namespace = $2 AND digest = $3");
pub(super) const BY_ID: &str = memories!("WHERE tenant_id = $1 AND id = $2");
/// Waits for another that puts the same text.
pub(super) const INSERT: &str = "INSERT INTO memory (tenant_id, id, namespace, digest, text, metadata, author, \
     created_at, model, vector) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (tenant_id, namespace, digest) DO NOTHING";
pub(super) const DELETE: &str = "DELETE FROM memory WHERE tenant_id = $1 AND id = $2 RETURNING namespace";

/// What makes two memories of a namespace the same.
pub(super) fn fingerprint(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

pub(super) type MemoryRow = (String, String, String, String, String, i64);

pub(super) fn memory(row: MemoryRow) -> Result<Memory> {
    let (id, namespace, text, metadata, author, created) = row;
    Ok(Memory {
        id: self::id(&id)?,
        namespace: Namespace::parse(&namespace).map_err(|error| damaged("memory.read", error))?,
        text,
        metadata: serde_json::from_str(&metadata).map_err(|error| damaged("memory.read", error))?,
        author,
        created_at: Timestamp::from_micros(created),
    })
}

pub(super) fn id(text: &str) -> Result<MemoryId> {
    MemoryId::parse(text).map_err(|error| damaged("memory.read", error))
}

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
