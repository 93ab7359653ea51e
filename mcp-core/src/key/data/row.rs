//! A data key as a row, the same on both SQL backends, and what is written beside its changes.

use serde_json::json;

use super::{KeyState, MAX_DATA_KEYS, NewDataKey, Rewrap, Shredded, StoredDataKey};
use crate::{
    audit::AuditRecord,
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    key::WrappedKey,
    scope::{PlatformScope, TenantId},
};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT tenant_id, version, wrapping_key, wrapped, check_value, created_at, destroyed_at FROM data_key ",
            $rest
        )
    };
}

pub(super) const NEWEST: &str = select!("WHERE tenant_id = $1 ORDER BY version DESC LIMIT 1");
pub(super) const FIND: &str = select!("WHERE tenant_id = $1 AND version = $2");
pub(super) const ALL: &str = select!("WHERE tenant_id = $1 ORDER BY version LIMIT 1000");
/// The first key's row is the tenant's lock: whoever adds or destroys keys takes it.
#[cfg(feature = "postgres")]
pub(super) const LOCK: &str = "SELECT version FROM data_key WHERE tenant_id = $1 AND version = 1 FOR UPDATE";
pub(super) const INSERT: &str = "INSERT INTO data_key (tenant_id, version, wrapping_key, wrapped, check_value, \
     created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, version) DO NOTHING";
pub(super) const TOMBSTONE: &str = "INSERT INTO data_key (tenant_id, version, wrapping_key, created_at, \
     destroyed_at) VALUES ($1, 1, '', $2, $2) ON CONFLICT (tenant_id, version) DO NOTHING";
pub(super) const REWRAP: &str = "UPDATE data_key SET wrapping_key = $3, wrapped = $4 \
     WHERE tenant_id = $1 AND version = $2 AND wrapping_key = $5 AND wrapped = $6";
pub(super) const SHRED: &str = "UPDATE data_key SET wrapped = NULL, check_value = NULL, destroyed_at = $2 \
     WHERE tenant_id = $1 AND destroyed_at IS NULL";
pub(super) const TENANTS: &str = "SELECT DISTINCT tenant_id FROM data_key \
     WHERE tenant_id > $1 AND destroyed_at IS NULL ORDER BY tenant_id LIMIT $2";
pub(super) const WRAPPING_KEYS: &str = "SELECT wrapping_key, count(*) FROM data_key WHERE destroyed_at IS NULL \
     GROUP BY wrapping_key ORDER BY wrapping_key LIMIT 100";

const _: () = assert!(MAX_DATA_KEYS == 1000, "`ALL` reads as many");

/// The columns as the database gives them.
pub(super) type Row = (String, i64, String, Option<Vec<u8>>, Option<Vec<u8>>, i64, Option<i64>);

/// The key a row holds.
pub(super) fn key(row: Row) -> Result<StoredDataKey> {
    parse(row).map_err(|error| {
        Error::new(ErrorKind::Corrupted, "key.read", "a stored data key is damaged").with_source(error)
    })
}

fn parse(row: Row) -> Result<StoredDataKey, Box<dyn std::error::Error + Send + Sync>> {
    let (tenant, version, wrapping_key, wrapped, check, created, destroyed) = row;
    let state = match (wrapped, check, destroyed) {
        (Some(bytes), Some(check), None) => KeyState::Live {
            wrapped: WrappedKey { wrapping_key, bytes },
            check: check.as_slice().try_into()?,
        },
        (None, None, Some(at)) => KeyState::Destroyed { at: Timestamp::from_micros(at), wrapping_key },
        _ => return Err("neither live nor destroyed".into()),
    };
    Ok(StoredDataKey {
        tenant: TenantId::parse(&tenant)?,
        version: u32::try_from(version)?,
        state,
        created_at: Timestamp::from_micros(created),
    })
}

/// The key as it is stored at `now`.
pub(super) fn stored(key: NewDataKey, now: Timestamp) -> StoredDataKey {
    let NewDataKey { tenant, version, wrapped, check } = key;
    StoredDataKey { tenant, version, state: KeyState::Live { wrapped, check }, created_at: now }
}

/// The audit record of a key that was made; `verb` says whether it is the first.
pub(super) fn made(scope: &PlatformScope, verb: &'static str, key: &NewDataKey) -> AuditRecord {
    let detail = json!({
        "reason": scope.reason(), "version": key.version, "wrapping_key": key.wrapped.wrapping_key,
    });
    record(scope, verb, &key.tenant, detail)
}

/// The audit record of keys that were wrapped anew.
pub(super) fn rewrapped(scope: &PlatformScope, tenant: &TenantId, keys: &[Rewrap]) -> AuditRecord {
    let mut from: Vec<_> = keys.iter().map(|key| key.from.wrapping_key.as_str()).collect();
    from.dedup();
    from.truncate(16);
    let to = keys.first().map(|key| key.to.wrapping_key.as_str());
    let detail = json!({ "reason": scope.reason(), "keys": keys.len(), "from": from, "to": to });
    record(scope, "data_key.rewrap", tenant, detail)
}

/// The audit record of keys that were destroyed.
pub(super) fn shredded(scope: &PlatformScope, shredded: &Shredded) -> AuditRecord {
    let wrapping_keys: Vec<_> = shredded.wrapping_keys.iter().take(16).collect();
    let detail = json!({ "reason": scope.reason(), "keys": shredded.keys, "wrapping_keys": wrapping_keys });
    record(scope, "data_key.shred", &shredded.tenant, detail)
}

fn record(
    scope: &PlatformScope,
    action: &'static str,
    tenant: &TenantId,
    detail: serde_json::Value,
) -> AuditRecord {
    AuditRecord::administered(scope, action, format!("data_key/{tenant}")).with_detail(detail)
}
