//! Memories as rows.

use aws_lc_rs::digest::{SHA256, digest};
use mcp_core::{Result, clock::Timestamp};

use super::{Memory, MemoryId, Namespace, VectorChanges, bytes, rank::Holder, store::KEPT_VERSIONS};
use crate::{sql::damaged, vector::Vector};

macro_rules! memories {
    ($rest:literal) => {
        concat!("SELECT id, namespace, text, metadata, author, created_at FROM memory ", $rest)
    };
}

pub(super) const SAME: &str = memories!("WHERE tenant_id = $1 AND namespace = $2 AND digest = $3");
pub(super) const BY_ID: &str = memories!("WHERE tenant_id = $1 AND id = $2");
pub(super) const INSERT: &str = "INSERT INTO memory (tenant_id, id, namespace, digest, text, metadata, author, \
     created_at, model, vector, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
     ON CONFLICT (tenant_id, namespace, digest) DO NOTHING";
pub(super) const NAMESPACE: &str = "SELECT namespace FROM memory WHERE tenant_id = $1 AND id = $2";
pub(super) const DELETE: &str = "DELETE FROM memory WHERE tenant_id = $1 AND id = $2";

pub(super) const VERSION: &str =
    "SELECT version FROM memory_namespace WHERE tenant_id = $1 AND namespace = $2";
/// The next version of a namespace. Whoever changes one does this first, and so waits for others that do: versions
/// are committed in their order.
pub(super) const NEXT_VERSION: &str = "INSERT INTO memory_namespace (tenant_id, namespace, version) VALUES ($1, $2, 1) \
     ON CONFLICT (tenant_id, namespace) DO UPDATE SET version = memory_namespace.version + 1 RETURNING version";
pub(super) const VECTORS: &str = "SELECT id, vector FROM memory WHERE tenant_id = $1 AND namespace = $2 AND model = $3 \
     AND id < $4 ORDER BY id DESC LIMIT $5";
/// After every id.
pub(super) const LAST_ID: &str = "z";
pub(super) const ADDED: &str = "SELECT id, vector FROM memory WHERE tenant_id = $1 AND namespace = $2 AND model = $3 \
     AND version > $4 AND version <= $5 LIMIT $6";
pub(super) const REMOVED: &str = "SELECT id FROM memory_forgotten WHERE tenant_id = $1 AND namespace = $2 \
     AND version > $3 AND version <= $4 LIMIT $5";
pub(super) const FORGOTTEN: &str =
    "INSERT INTO memory_forgotten (tenant_id, namespace, version, id) VALUES ($1, $2, $3, $4)";
pub(super) const FORGET_FORGOTTEN: &str =
    "DELETE FROM memory_forgotten WHERE tenant_id = $1 AND namespace = $2 AND version <= $3";

/// What makes two memories of a namespace the same.
pub(super) fn fingerprint(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

pub(super) type VectorRow = (String, Vec<u8>);

pub(super) fn vectors(rows: Vec<VectorRow>) -> Result<Vec<Vector>> {
    let read =
        |(id, bytes): VectorRow| Ok(Vector { id: self::id(&id)?, numbers: bytes::from_bytes(&bytes)? });
    rows.into_iter().map(read).collect()
}

/// The changes, if what was forgotten after `since` is known still in version `now`.
pub(super) fn changes(
    (since, now): (i64, i64),
    added: Vec<VectorRow>,
    removed: &[String],
) -> Result<Option<VectorChanges>> {
    if since < now - KEPT_VERSIONS {
        return Ok(None);
    }
    let removed = removed.iter().map(|id| self::id(id)).collect::<Result<_>>()?;
    Ok(Some(VectorChanges { added: vectors(added)?, removed }))
}

/// Id, bits of the words it holds, how many are alike, bytes.
pub(super) type HolderRow = (String, i64, i64, i64);

pub(super) fn holders(rows: Vec<HolderRow>) -> Result<Vec<Holder>> {
    let read = |(id, held, alike, bytes): HolderRow| {
        let (held, alike, bytes) = (held.cast_unsigned(), alike.unsigned_abs(), bytes.unsigned_abs());
        Ok(Holder { id: self::id(&id)?, held, alike, bytes })
    };
    rows.into_iter().map(read).collect()
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
