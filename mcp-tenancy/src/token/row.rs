//! A signing key as a row, the same on both SQL backends.

use mcp_core::{PlatformScope, Result, audit::AuditRecord, clock::Timestamp, scope::TenantId};
use serde_json::json;

use super::{Grant, SigningAlgorithm, SigningKey};
use crate::sql::{Change, damaged};

pub(super) const NEWEST: &str = "SELECT tenant_id, kid, algorithm, public_key, sealed_private_key, \
     created_at, active_from, signs_until, verifies_until FROM signing_key \
     WHERE tenant_id = $1 ORDER BY ordinal DESC LIMIT $2";
pub(super) const FIRST: &str = "INSERT INTO signing_key (tenant_id, ordinal, kid, algorithm, public_key, \
     sealed_private_key, created_at, active_from, signs_until, verifies_until) \
     SELECT $1, 1, $2, $3, $4, $5, $6, $7, $8, $9 \
     WHERE NOT EXISTS (SELECT 1 FROM signing_key WHERE tenant_id = $1) \
     ON CONFLICT (tenant_id, ordinal) DO NOTHING";
pub(super) const INSERT: &str = "INSERT INTO signing_key (tenant_id, ordinal, kid, algorithm, public_key, \
     sealed_private_key, created_at, active_from, signs_until, verifies_until) \
     VALUES ($1, (SELECT COALESCE(MAX(ordinal), 0) + 1 FROM signing_key WHERE tenant_id = $1), \
     $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant_id, ordinal) DO NOTHING";
pub(super) const AMEND: &str =
    "UPDATE signing_key SET signs_until = $3, verifies_until = $4 WHERE tenant_id = $1 AND kid = $2";
pub(super) const DELETE: &str = "DELETE FROM signing_key WHERE tenant_id = $1 AND kid = $2";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, Vec<u8>, Vec<u8>, i64, i64, Option<i64>, Option<i64>);

/// The key a row holds.
pub(super) fn key(row: Row) -> Result<SigningKey> {
    let (tenant, kid, algorithm, public, sealed, created, from, signs, verifies) = row;
    Ok(SigningKey {
        tenant: TenantId::parse(&tenant).map_err(|error| damaged("token.key", error))?,
        kid,
        algorithm: SigningAlgorithm::parse(&algorithm).map_err(|error| damaged("token.key", error))?,
        public,
        sealed,
        created_at: Timestamp::from_micros(created),
        active_from: Timestamp::from_micros(from),
        signs_until: signs.map(Timestamp::from_micros),
        verifies_until: verifies.map(Timestamp::from_micros),
    })
}

/// What is written beside a change.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    key: &SigningKey,
) -> Change {
    let data = json!({
        "tenant": key.tenant, "kid": key.kid, "algorithm": key.algorithm, "active_from": key.active_from,
    });
    Change::new(scope, ("signing_key", verb, done), &key.kid, data)
}

/// The audit record of a token.
pub(super) fn issued(scope: &PlatformScope, grant: &Grant) -> AuditRecord {
    AuditRecord::administered(scope, "token.issue", format!("token/{}", grant.token)).with_detail(json!({
        "reason": scope.reason(), "tenant": grant.tenant, "principal": grant.principal,
        "expires_at": grant.expires_at,
    }))
}
