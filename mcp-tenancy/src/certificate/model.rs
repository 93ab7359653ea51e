//! Certificates as they are registered.

use mcp_core::{
    Result,
    clock::Timestamp,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde::Serialize;

use super::CertificateSubject;
use crate::key::{self, KeyId};

/// A certificate to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificateIdentity {
    /// Whose it is.
    pub tenant: TenantId,
    /// Name for people: 1–100 characters, no control characters.
    pub name: String,
    /// Which certificates: every one with this subject.
    pub subject: CertificateSubject,
    /// As whom its holder acts.
    pub principal: Principal,
    /// When that ends, whatever the certificate says of itself; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl NewCertificateIdentity {
    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self, now: Timestamp) -> Result<()> {
        key::validate(&self.name, self.expires_at, now)
    }
}

/// A registered certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct CertificateIdentity {
    /// Names the registration; it appears in audit records.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Name for people.
    pub name: String,
    /// Which certificates.
    #[cfg_attr(feature = "http-api", schema(value_type = String))]
    pub subject: CertificateSubject,
    /// As whom its holder acts.
    pub principal_id: PrincipalId,
    /// Person or program.
    pub principal_kind: PrincipalKind,
    /// What its holder may do.
    pub permissions: Permissions,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl CertificateIdentity {
    /// The registration `new` becomes under `id` at `now`.
    pub(crate) fn create(new: NewCertificateIdentity, id: KeyId, now: Timestamp) -> Self {
        Self {
            id,
            tenant: new.tenant,
            name: new.name,
            subject: new.subject,
            principal_id: new.principal.id,
            principal_kind: new.principal.kind,
            permissions: new.principal.permissions,
            created_at: now,
            expires_at: new.expires_at,
        }
    }

    /// As whom its holder acts.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal {
            id: self.principal_id.clone(),
            kind: self.principal_kind,
            permissions: self.permissions.clone(),
        }
    }
}
