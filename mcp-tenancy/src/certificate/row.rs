//! A registered certificate as a row, the same on both SQL backends.

use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::{PrincipalId, TenantId},
};
use serde_json::json;

use super::{CertificateIdentity, CertificateSubject};
use crate::{
    key::KeyId,
    sql::{Change, damaged},
};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant_id, name, subject, principal_id, principal_kind, permissions, created_at, \
             expires_at FROM certificate_identity ",
            $rest
        )
    };
}

pub(super) const BY_ID: &str = select!("WHERE tenant_id = $1 AND id = $2");
pub(super) const BY_SUBJECT: &str = select!("WHERE subject = $1");
pub(super) const PAGE: &str = select!("WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3");
pub(super) const INSERT: &str = "INSERT INTO certificate_identity (id, tenant_id, name, subject, \
     principal_id, principal_kind, permissions, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
pub(super) const DELETE: &str = "DELETE FROM certificate_identity WHERE tenant_id = $1 AND id = $2";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, String, String, String, String, i64, Option<i64>);

/// The registration a row holds.
pub(super) fn identity(row: Row) -> Result<CertificateIdentity> {
    parse(row).map_err(|error| damaged("certificate.read", error))
}

fn parse(row: Row) -> Result<CertificateIdentity, Box<dyn std::error::Error + Send + Sync>> {
    let (id, tenant, name, subject, principal, kind, permissions, created, expires) = row;
    Ok(CertificateIdentity {
        id: KeyId::parse(&id)?,
        tenant: TenantId::parse(&tenant)?,
        name,
        subject: CertificateSubject::parse(&subject)?,
        principal_id: PrincipalId::parse(&principal)?,
        principal_kind: serde_json::from_value(kind.into())?,
        permissions: serde_json::from_str(&permissions)?,
        created_at: Timestamp::from_micros(created),
        expires_at: expires.map(Timestamp::from_micros),
    })
}

/// The permissions as they are stored: a JSON array.
pub(super) fn permissions(identity: &CertificateIdentity) -> Result<String> {
    serde_json::to_string(&identity.permissions).map_err(|error| damaged("certificate.write", error))
}

/// What is written beside a change.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    identity: &CertificateIdentity,
) -> Change {
    let data = json!({
        "id": identity.id, "tenant": identity.tenant, "subject": identity.subject,
        "principal": identity.principal_id, "expires_at": identity.expires_at,
    });
    Change::new(scope, ("certificate", verb, done), identity.id.as_str(), data)
}
