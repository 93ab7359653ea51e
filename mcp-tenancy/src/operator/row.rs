//! An operator key as a row, the same on both SQL backends.

use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::PrincipalId};
use serde_json::json;

use super::{OperatorKey, StoredOperatorKey};
use crate::{
    key::{KeyDigest, KeyId},
    sql::{Change, damaged},
};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, principal_id, digest, created_at, expires_at, revoked_at FROM operator_key ",
            $rest
        )
    };
}

pub(super) const BY_ID: &str = select!("WHERE id = $1");
pub(super) const PAGE: &str = select!("WHERE id > $1 ORDER BY id LIMIT $2");
pub(super) const INSERT: &str = "INSERT INTO operator_key (id, name, principal_id, digest, created_at, \
     expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
pub(super) const REVOKE: &str =
    "UPDATE operator_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, Vec<u8>, i64, Option<i64>, Option<i64>);

/// The key a row holds.
pub(super) fn key(row: Row) -> Result<StoredOperatorKey> {
    parse(row).map_err(|error| damaged("operator_key.read", error))
}

fn parse(row: Row) -> Result<StoredOperatorKey, Box<dyn std::error::Error + Send + Sync>> {
    let (id, name, principal, digest, created, expires, revoked) = row;
    let key = OperatorKey {
        id: KeyId::parse(&id)?,
        name,
        principal_id: PrincipalId::parse(&principal)?,
        created_at: Timestamp::from_micros(created),
        expires_at: expires.map(Timestamp::from_micros),
        revoked_at: revoked.map(Timestamp::from_micros),
    };
    Ok(StoredOperatorKey { key, digest: KeyDigest::from_stored(&digest)? })
}

/// What is written beside a change.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    key: &OperatorKey,
) -> Change {
    let data = json!({ "id": key.id, "principal": key.principal_id, "expires_at": key.expires_at });
    Change::new(scope, ("operator_key", verb, done), key.id.as_str(), data)
}
