//! A signing key as a row, the same on both SQL backends.

use mcp_core::{PlatformScope, Result, audit::AuditRecord, clock::Timestamp, scope::TenantId};
use serde_json::json;

use super::{Grant, SigningKey};
use crate::sql::{Change, damaged};

pub(super) const NEWEST: &str = "SELECT tenant_id, kid, public_key, sealed_private_key, created_at \
     FROM signing_key WHERE tenant_id = $1 ORDER BY ordinal DESC LIMIT $2";
pub(super) const FIRST: &str = "INSERT INTO signing_key (tenant_id, ordinal, kid, public_key, \
     sealed_private_key, created_at) VALUES ($1, 1, $2, $3, $4, $5) \
     ON CONFLICT (tenant_id, ordinal) DO NOTHING";

/// The columns as the database gives them.
pub(super) type Row = (String, String, Vec<u8>, Vec<u8>, i64);

/// The key a row holds.
pub(super) fn key((tenant, kid, public, sealed, created): Row) -> Result<SigningKey> {
    let tenant = TenantId::parse(&tenant).map_err(|error| damaged("token.key", error))?;
    Ok(SigningKey { tenant, kid, public, sealed, created_at: Timestamp::from_micros(created) })
}

/// What is written beside a new key.
pub(super) fn made(scope: &PlatformScope, key: &SigningKey) -> Change {
    let data = json!({ "tenant": key.tenant, "kid": key.kid });
    Change::new(scope, ("signing_key", "create", "created"), &key.kid, data)
}

/// The audit record of a token.
pub(super) fn issued(scope: &PlatformScope, grant: &Grant) -> AuditRecord {
    AuditRecord::administered(scope, "token.issue", format!("token/{}", grant.token)).with_detail(json!({
        "reason": scope.reason(), "tenant": grant.tenant, "principal": grant.principal,
        "expires_at": grant.expires_at,
    }))
}
