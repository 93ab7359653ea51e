//! Where issuers are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, error::Detail, scope::TenantId};

use super::{Issuer, IssuerId, IssuerSpec, MAX_ISSUERS, StoredIssuer, TokenCheck};
use crate::tenant::Page;

/// An issuer to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerWrite {
    /// Its name here.
    pub id: IssuerId,
    /// What is declared.
    pub spec: IssuerSpec,
    /// The sealed client secret. An issuer that is asked by introspection has one, another has none.
    pub sealed_secret: Option<Vec<u8>>,
    /// The version it must have; `None` if there must be none of that id.
    pub expected_version: Option<i64>,
}

impl IssuerWrite {
    /// Checks the declaration, and that there is a secret exactly where one is needed.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        self.spec.validate()?;
        let wanted = matches!(self.spec.check, TokenCheck::Introspection { .. });
        match (wanted, self.sealed_secret.is_some()) {
            (true, false) => {
                Err(Error::invalid_input("issuer.put", "introspection needs the client's secret"))
            }
            (false, true) => {
                Err(Error::invalid_input("issuer.put", "an issuer of JWTs has no client secret"))
            }
            _ => Ok(()),
        }
    }
}

/// Keeps issuers, by id, across all tenants: which tenant a token is for is known only once its issuer is found.
///
/// Promises:
/// - **No lost update**: `put` and `remove` succeed only with the version that is stored; else it is a
///   [`Conflict`](ErrorKind::Conflict) with the current version, or
///   [`AlreadyExists`](ErrorKind::AlreadyExists) where none was expected, and nothing changes.
/// - **One meaning a URL**: an issuer's URL is registered once for all tenants, or at most once by each tenant, never
///   both; and a tenant has at most one issuer that is asked by introspection, as have all tenants together, because
///   an opaque token does not say whose it is.
/// - **Removed is gone**: a removed issuer is found by nobody but
///   [`changes_since`](Self::changes_since), has no secret, and may be declared anew under its id, with a higher
///   version.
/// - **No skipped change**: revisions are unique, grow, and become visible in their order, so a reader who asks
///   [`changes_since`](Self::changes_since) the last revision it saw misses no change, removals included.
/// - **Bounded**: a tenant has at most [`MAX_ISSUERS`] issuers, and as many are shared.
/// - **Lists are complete and in order**: every issuer is on exactly one page.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit together
///   or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait IssuerStore: Send + Sync + fmt::Debug {
    /// Declares an issuer, or declares it anew.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), `AlreadyExists`, [`NotFound`](ErrorKind::NotFound) if a version is
    /// expected of an issuer that is not there, `Conflict`, [`TooLarge`](ErrorKind::TooLarge) beyond
    /// [`MAX_ISSUERS`], [`Unavailable`](ErrorKind::Unavailable).
    async fn put(&self, scope: &PlatformScope, write: IssuerWrite) -> Result<Issuer>;

    /// Removes an issuer.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Unavailable`.
    async fn remove(&self, scope: &PlatformScope, id: &IssuerId, expected_version: i64) -> Result<Issuer>;

    /// The issuer of that id.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get(&self, scope: &PlatformScope, id: &IssuerId) -> Result<Option<StoredIssuer>>;

    /// Up to `limit` issuers (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE); other values are brought into that range) in
    /// the order of their ids, after the one `cursor` names: those of `tenant`, or all.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: Option<&TenantId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Issuer>>;

    /// Up to `limit` issuers (as in [`list`](Self::list)) changed after `revision`, oldest change first, each as it is
    /// now, removed ones included. Zero asks for all.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn changes_since(
        &self,
        scope: &PlatformScope,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<StoredIssuer>>;
}

/// What both sides of a write must agree on: `stored` is what is there, removed or not.
pub(super) fn check_version(write: &IssuerWrite, stored: Option<&Issuer>) -> Result<()> {
    let there = stored.filter(|issuer| !issuer.removed);
    match (write.expected_version, there) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(already_exists(format!("an issuer with the id `{}`", write.id))),
        (Some(_), None) => Err(not_found("issuer.put", &write.id)),
        (Some(expected), Some(issuer)) if issuer.version == expected => Ok(()),
        (Some(_), Some(issuer)) => Err(stale(issuer.version)),
    }
}

/// The issuer's URL, or its way of checking opaque tokens, is taken by `other`.
pub(super) fn taken(write: &IssuerWrite, other: &Issuer) -> Option<Error> {
    let (spec, of) = (&write.spec, &other.spec);
    if other.removed || other.id == write.id {
        return None;
    }
    let overlap = spec.tenant.is_none() || of.tenant.is_none() || spec.tenant == of.tenant;
    if spec.url == of.url && overlap {
        return Some(already_exists(format!("an issuer with the URL `{}`, `{}`,", of.url, other.id)));
    }
    let opaque = |spec: &IssuerSpec| matches!(spec.check, TokenCheck::Introspection { .. });
    (opaque(spec) && opaque(of) && spec.tenant == of.tenant)
        .then(|| already_exists(format!("an issuer asked by introspection, `{}`,", other.id)))
}

/// The id a list goes on after.
pub(super) fn parse_cursor(cursor: Option<&str>) -> Result<Option<IssuerId>> {
    cursor.map(IssuerId::parse).transpose().map_err(|error| {
        Error::invalid_input("issuer.list", "the cursor is not one this list gave; start without one")
            .with_source(error)
    })
}

pub(super) fn not_found(operation: &'static str, id: &IssuerId) -> Error {
    Error::not_found(operation, format!("there is no issuer `{id}`"))
}

pub(super) fn stale(current: i64) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "issuer.put",
        format!("the issuer has changed; it now has version {current}"),
    )
    .with_detail(Detail::Conflict { current })
}

pub(super) fn too_many() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "issuer.put",
        format!("a tenant has at most {MAX_ISSUERS} issuers, and as many are shared; remove one first"),
    )
}

fn already_exists(what: String) -> Error {
    Error::new(ErrorKind::AlreadyExists, "issuer.put", format!("{what} exists already"))
}
