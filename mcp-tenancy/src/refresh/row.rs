//! A lineage of refresh tokens as a row, the same on both SQL backends.

use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::{Principal, PrincipalId, TenantId},
};
use serde_json::json;

use super::{FamilyId, StoredFamily};
use crate::{
    key::{KeyDigest, KeyId},
    sql::{Change, damaged},
};

pub(super) const BY_ID: &str = "SELECT id, tenant_id, principal_id, principal_kind, permissions, key_id, \
     tag_key, digest, previous_digest, nonce, generation, rotated_at, created_at, expires_at, revoked_at \
     FROM refresh_family WHERE id = $1";
pub(super) const INSERT: &str = "INSERT INTO refresh_family (id, tenant_id, principal_id, principal_kind, \
     permissions, key_id, tag_key, digest, generation, rotated_at, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING";
pub(super) const PRUNE: &str = "DELETE FROM refresh_family WHERE tenant_id = $1 AND expires_at <= $2";
pub(super) const GIVE_WAY: &str = "DELETE FROM refresh_family WHERE id IN (SELECT id FROM refresh_family \
     WHERE tenant_id = $1 AND principal_id = $2 ORDER BY rotated_at DESC, id DESC LIMIT 1000 OFFSET $3)";
pub(super) const ROTATE: &str = "UPDATE refresh_family SET digest = $3, previous_digest = $2, nonce = $4, \
     rotated_at = $5, generation = generation + 1 WHERE id = $1 AND digest = $2 AND revoked_at IS NULL";
pub(super) const REVOKE: &str =
    "UPDATE refresh_family SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

/// The columns as the database gives them.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    tenant_id: String,
    principal_id: String,
    principal_kind: String,
    permissions: String,
    key_id: String,
    tag_key: Vec<u8>,
    digest: Vec<u8>,
    previous_digest: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    generation: i64,
    rotated_at: i64,
    created_at: i64,
    expires_at: i64,
    revoked_at: Option<i64>,
}

/// The lineage a row holds.
pub(super) fn family(row: Row) -> Result<StoredFamily> {
    parse(row).map_err(|error| damaged("refresh.read", error))
}

fn parse(row: Row) -> Result<StoredFamily, Box<dyn std::error::Error + Send + Sync>> {
    let bytes = |bytes: Vec<u8>| {
        <[u8; 32]>::try_from(bytes).map_err(|bytes| format!("{} bytes in place of 32", bytes.len()))
    };
    let previous = match (row.previous_digest, row.nonce) {
        (Some(digest), Some(nonce)) => Some((KeyDigest::from_stored(&digest)?, bytes(nonce)?)),
        _ => None,
    };
    Ok(StoredFamily {
        id: FamilyId::parse(&row.id)?,
        tenant: TenantId::parse(&row.tenant_id)?,
        principal: Principal {
            id: PrincipalId::parse(&row.principal_id)?,
            kind: serde_json::from_value(row.principal_kind.into())?,
            permissions: serde_json::from_str(&row.permissions)?,
        },
        key: KeyId::parse(&row.key_id)?,
        tag_key: bytes(row.tag_key)?,
        digest: KeyDigest::from_stored(&row.digest)?,
        previous,
        generation: row.generation,
        rotated_at: Timestamp::from_micros(row.rotated_at),
        created_at: Timestamp::from_micros(row.created_at),
        expires_at: Timestamp::from_micros(row.expires_at),
        revoked_at: row.revoked_at.map(Timestamp::from_micros),
    })
}

/// The permissions as they are stored: a JSON array.
pub(super) fn permissions(family: &StoredFamily) -> Result<String> {
    serde_json::to_string(&family.principal.permissions).map_err(|error| damaged("refresh.write", error))
}

/// What is written beside a beginning.
pub(super) fn begun(scope: &PlatformScope, family: &StoredFamily) -> Change {
    let data = json!({
        "id": family.id, "tenant": family.tenant, "principal": family.principal.id, "key": family.key,
        "expires_at": family.expires_at,
    });
    Change::new(scope, ("refresh_family", "create", "created"), family.id.as_str(), data)
}

/// What is written beside an end.
pub(super) fn ended(scope: &PlatformScope, family: &StoredFamily, reason: &'static str) -> Change {
    let data = json!({
        "id": family.id, "tenant": family.tenant, "principal": family.principal.id, "key": family.key,
        "generation": family.generation, "cause": reason,
    });
    Change::new(scope, ("refresh_family", "revoke", "revoked"), family.id.as_str(), data)
}
