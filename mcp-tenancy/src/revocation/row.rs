//! A revocation as a row, the same on both SQL backends.

use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::TenantId};
use serde_json::json;

use super::{DeniedToken, Revocation, RevocationChange};
use crate::sql::{Change, damaged};

pub(super) const NEXT_REVISION: &str =
    "UPDATE auth_revision SET last = last + 1 WHERE slot = 2 RETURNING last";
pub(super) const FIND: &str = "SELECT tenant_id, issuer, token_id, until_at, revision FROM token_revocation \
     WHERE tenant_id = $1 AND issuer = $2 AND token_id = $3";
pub(super) const CHANGES: &str = "SELECT tenant_id, issuer, token_id, until_at, revision \
     FROM token_revocation WHERE revision > $1 ORDER BY revision LIMIT $2";
pub(super) const LIVE: &str =
    "SELECT count(*) FROM token_revocation WHERE tenant_id = $1 AND token_id <> '' AND until_at > $2";
pub(super) const WRITE: &str = "INSERT INTO token_revocation (tenant_id, issuer, token_id, until_at, revision) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, issuer, token_id) \
     DO UPDATE SET until_at = excluded.until_at, revision = excluded.revision";
pub(super) const PRUNE: &str = "DELETE FROM token_revocation WHERE revision IN (SELECT revision \
     FROM token_revocation WHERE token_id <> '' AND until_at <= $1 LIMIT $2)";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, i64, i64);

/// The change a row holds.
pub(super) fn change((tenant, issuer, id, until, revision): Row) -> Result<RevocationChange> {
    let tenant = TenantId::parse(&tenant).map_err(|error| damaged("token.revocations", error))?;
    let until = Timestamp::from_micros(until);
    let revocation = match id.is_empty() {
        true => Revocation::All { tenant, issued_until: until },
        false => Revocation::Token(DeniedToken { tenant, issuer, id, expires_at: until }),
    };
    Ok(RevocationChange { revocation, revision })
}

/// The columns of a revocation: tenant, issuer, token id, until when.
pub(super) fn columns(revocation: &Revocation) -> (&str, &str, &str, i64) {
    match revocation {
        Revocation::Token(token) => {
            (token.tenant.as_str(), &token.issuer, &token.id, token.expires_at.as_micros())
        }
        Revocation::All { tenant, issued_until } => (tenant.as_str(), "", "", issued_until.as_micros()),
    }
}

/// What is written beside a revocation.
pub(super) fn beside(scope: &PlatformScope, revocation: &Revocation) -> Change {
    match revocation {
        Revocation::Token(token) => {
            let data = json!({
                "tenant": token.tenant, "issuer": token.issuer, "id": token.id,
                "expires_at": token.expires_at,
            });
            Change::new(scope, ("token", "revoke", "revoked"), &token.id, data)
        }
        Revocation::All { tenant, issued_until } => {
            let data = json!({ "tenant": tenant, "issued_until": issued_until });
            Change::new(scope, ("token", "revoke_all", "revoked_all"), tenant.as_str(), data)
        }
    }
}
