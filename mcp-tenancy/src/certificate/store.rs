//! Where registered certificates are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, scope::TenantId};

use super::{CertificateIdentity, CertificateSubject};
use crate::{key::KeyId, tenant::Page};

/// Keeps registered certificates, by subject, across all tenants: which tenant a certificate belongs to is
/// known only once it is found.
///
/// Promises:
/// - **One owner a subject**: of many who register a subject at once one succeeds, whatever their tenants;
///   the others get [`AlreadyExists`](ErrorKind::AlreadyExists).
/// - **Tenants apart**: `list` and `remove` see the given tenant's certificates only; another tenant's id
///   answers what an unknown one answers.
/// - **Removing frees the subject**, and is what ends a registration.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait CertificateStore: Send + Sync + fmt::Debug {
    /// Adds a registration.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if id or subject is taken, `Unavailable`.
    async fn insert(&self, scope: &PlatformScope, identity: CertificateIdentity) -> Result<()>;

    /// The registrations of these subjects (at most [`MAX_SUBJECTS`](super::MAX_SUBJECTS)), expired ones too,
    /// in any order.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(
        &self,
        scope: &PlatformScope,
        subjects: &[CertificateSubject],
    ) -> Result<Vec<CertificateIdentity>>;

    /// Up to `limit` registrations of the tenant (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE); other values are
    /// brought into that range) in the order of their ids, after the one `cursor` names.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CertificateIdentity>>;

    /// Removes a registration of the tenant.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn remove(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
    ) -> Result<CertificateIdentity>;
}

pub(super) fn already_exists(subject: &CertificateSubject) -> Error {
    let message = format!("the subject `{subject}` is registered already; remove that registration first");
    Error::new(ErrorKind::AlreadyExists, "certificate.create", message)
}

pub(super) fn not_found(id: &KeyId) -> Error {
    Error::not_found("certificate.remove", format!("the tenant has no certificate `{id}`"))
}
