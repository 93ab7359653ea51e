//! An API key as a row, the same on both SQL backends.

use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::{PrincipalId, TenantId},
};
use serde_json::json;

use super::{ApiKey, KeyDigest, KeyId, StoredKey};
use crate::sql::{Change, damaged};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant_id, name, principal_id, principal_kind, permissions, digest, created_at, \
             expires_at, revoked_at, previous_digest, previous_until, rotated_at, last_used_at FROM api_key ",
            $rest
        )
    };
}

pub(super) const BY_ID: &str = select!("WHERE id = $1");
pub(super) const PAGE: &str = select!("WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3");
pub(super) const INSERT: &str = "INSERT INTO api_key (id, tenant_id, name, principal_id, principal_kind, \
     permissions, digest, created_at, expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
     ON CONFLICT (id) DO NOTHING";
pub(super) const REVOKE: &str =
    "UPDATE api_key SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";

/// Keys of a tenant that can be used at a time.
pub(super) const LIVE: &str = "SELECT count(*) FROM api_key WHERE tenant_id = $1 AND revoked_at IS NULL \
     AND (expires_at IS NULL OR expires_at > $2)";
/// `previous_digest` takes the old value of `digest`, which an update reads before it writes.
pub(super) const ROTATE: &str = "UPDATE api_key SET digest = $3, rotated_at = $4, previous_until = $5, \
     previous_digest = CASE WHEN $5 IS NULL THEN NULL ELSE digest END \
     WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
pub(super) const USED: &str = "UPDATE api_key SET last_used_at = $2 WHERE id = $1 \
     AND (last_used_at IS NULL OR last_used_at < $2)";

/// The columns as the database gives them.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    tenant_id: String,
    name: String,
    principal_id: String,
    principal_kind: String,
    permissions: String,
    digest: Vec<u8>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    previous_digest: Option<Vec<u8>>,
    previous_until: Option<i64>,
    rotated_at: Option<i64>,
    last_used_at: Option<i64>,
}

/// The key a row holds.
pub(super) fn key(row: Row) -> Result<StoredKey> {
    parse(row).map_err(|error| damaged("key.read", error))
}

fn parse(row: Row) -> Result<StoredKey, Box<dyn std::error::Error + Send + Sync>> {
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    let key = ApiKey {
        id: KeyId::parse(&row.id)?,
        tenant: TenantId::parse(&row.tenant_id)?,
        name: row.name,
        principal_id: PrincipalId::parse(&row.principal_id)?,
        principal_kind: serde_json::from_value(row.principal_kind.into())?,
        permissions: serde_json::from_str(&row.permissions)?,
        created_at: Timestamp::from_micros(row.created_at),
        expires_at: time(row.expires_at),
        revoked_at: time(row.revoked_at),
        rotated_at: time(row.rotated_at),
        previous_until: time(row.previous_until),
        last_used_at: time(row.last_used_at),
    };
    let former = row.previous_digest.map(|digest| KeyDigest::from_stored(&digest)).transpose()?;
    Ok(StoredKey { key, digest: KeyDigest::from_stored(&row.digest)?, former })
}

/// The permissions as they are stored: a JSON array.
pub(super) fn permissions(key: &ApiKey) -> Result<String> {
    serde_json::to_string(&key.permissions).map_err(|error| damaged("key.write", error))
}

/// What is written beside a change.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    key: &ApiKey,
) -> Change {
    let data = json!({
        "id": key.id, "tenant": key.tenant, "principal": key.principal_id, "expires_at": key.expires_at,
    });
    Change::new(scope, ("key", verb, done), key.id.as_str(), data)
}
