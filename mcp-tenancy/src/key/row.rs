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
             expires_at, revoked_at FROM api_key ",
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

/// The columns as the database gives them.
pub(super) type Row =
    (String, String, String, String, String, String, Vec<u8>, i64, Option<i64>, Option<i64>);

/// The key a row holds.
pub(super) fn key(row: Row) -> Result<StoredKey> {
    parse(row).map_err(|error| damaged("key.read", error))
}

fn parse(row: Row) -> Result<StoredKey, Box<dyn std::error::Error + Send + Sync>> {
    let (id, tenant, name, principal, kind, permissions, digest, created, expires, revoked) = row;
    let key = ApiKey {
        id: KeyId::parse(&id)?,
        tenant: TenantId::parse(&tenant)?,
        name,
        principal_id: PrincipalId::parse(&principal)?,
        principal_kind: serde_json::from_value(kind.into())?,
        permissions: serde_json::from_str(&permissions)?,
        created_at: Timestamp::from_micros(created),
        expires_at: expires.map(Timestamp::from_micros),
        revoked_at: revoked.map(Timestamp::from_micros),
    };
    Ok(StoredKey { key, digest: KeyDigest::from_stored(&digest)? })
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
