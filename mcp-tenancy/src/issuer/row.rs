//! An issuer as a row, the same on both SQL backends.

use mcp_core::{PlatformScope, Result, clock::Timestamp};
use serde_json::json;

use super::{Issuer, IssuerId, IssuerSpec, IssuerWrite, StoredIssuer};
use crate::sql::{Change, damaged};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, spec, sealed_secret, removed, created_at, updated_at, version, revision FROM issuer ",
            $rest
        )
    };
}

pub(super) const NEXT_REVISION: &str =
    "UPDATE auth_revision SET last = last + 1 WHERE slot = 1 RETURNING last";
pub(super) const BY_ID: &str = select!("WHERE id = $1");
/// An issuer that stands in the way of one with this URL ($1), tenant ($2), id ($3) and kind ($4).
pub(super) const IN_THE_WAY: &str = select!(
    "WHERE removed = 0 AND id <> $3 AND ((url = $1 AND (tenant_id = '' OR $2 = '' OR tenant_id = $2)) \
     OR (kind = 'introspection' AND $4 = 'introspection' AND tenant_id = $2)) LIMIT 1"
);
pub(super) const COUNT: &str =
    "SELECT count(*) FROM issuer WHERE tenant_id = $1 AND removed = 0 AND id <> $2";
pub(super) const PAGE: &str =
    select!("WHERE removed = 0 AND id > $1 AND ($2 = '' OR tenant_id = $2) ORDER BY id LIMIT $3");
pub(super) const CHANGES: &str = select!("WHERE revision > $1 ORDER BY revision LIMIT $2");
pub(super) const WRITE: &str = "INSERT INTO issuer (id, tenant_id, url, kind, spec, sealed_secret, removed, \
     created_at, updated_at, version, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
     ON CONFLICT (id) DO UPDATE SET tenant_id = excluded.tenant_id, url = excluded.url, kind = excluded.kind, \
     spec = excluded.spec, sealed_secret = excluded.sealed_secret, removed = excluded.removed, \
     updated_at = excluded.updated_at, version = excluded.version, revision = excluded.revision";

/// The columns as the database gives them.
pub(super) type Row = (String, String, Option<Vec<u8>>, i64, i64, i64, i64, i64);

/// The issuer a row holds.
pub(super) fn issuer(row: Row) -> Result<StoredIssuer> {
    parse(row).map_err(|error| damaged("issuer.read", error))
}

fn parse(row: Row) -> Result<StoredIssuer, Box<dyn std::error::Error + Send + Sync>> {
    let (id, spec, sealed_secret, removed, created, updated, version, revision) = row;
    let issuer = Issuer {
        id: IssuerId::parse(&id)?,
        spec: serde_json::from_str(&spec)?,
        removed: removed != 0,
        created_at: Timestamp::from_micros(created),
        updated_at: Timestamp::from_micros(updated),
        version,
        revision,
    };
    Ok(StoredIssuer { issuer, sealed_secret })
}

/// The tenant as its column has it.
pub(super) fn tenant(spec: &IssuerSpec) -> &str {
    spec.tenant.as_ref().map_or("", |tenant| tenant.as_str())
}

/// The declaration as it is stored.
pub(super) fn spec(issuer: &Issuer) -> Result<String> {
    serde_json::to_string(&issuer.spec).map_err(|error| damaged("issuer.write", error))
}

/// The issuer `write` makes of what is stored.
pub(super) fn written(
    write: IssuerWrite,
    stored: Option<&Issuer>,
    revision: i64,
    now: Timestamp,
) -> StoredIssuer {
    let issuer = Issuer {
        id: write.id,
        spec: write.spec,
        removed: false,
        created_at: stored.map_or(now, |issuer| issuer.created_at),
        updated_at: now,
        version: stored.map_or(0, |issuer| issuer.version) + 1,
        revision,
    };
    StoredIssuer { issuer, sealed_secret: write.sealed_secret }
}

/// The issuer after its removal.
pub(super) fn removed(issuer: Issuer, revision: i64, now: Timestamp) -> StoredIssuer {
    let version = issuer.version + 1;
    let issuer = Issuer { removed: true, updated_at: now, version, revision, ..issuer };
    StoredIssuer { issuer, sealed_secret: None }
}

/// What is written beside a change.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    issuer: &Issuer,
) -> Change {
    let data = json!({
        "id": issuer.id, "url": issuer.spec.url, "tenant": issuer.spec.tenant,
        "audiences": issuer.spec.audiences, "kind": issuer.spec.check.kind(), "version": issuer.version,
        "private_addresses": issuer.spec.private_addresses,
    });
    Change::new(scope, ("issuer", verb, done), issuer.id.as_str(), data)
}
