//! Where tenants are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, PlatformScope, Result, clock::Timestamp, error::Detail, scope::TenantId};
use serde::Serialize;

use super::{ErasureReceipt, ErasureStep, NewTenant, Tenant, TenantFilter, TenantProfile};

/// Most entries a page holds.
pub const MAX_PAGE: u32 = 500;

/// One page of a list, in the order of ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to ask the next page with; `None` on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` from what was read with one entry more, the cursor from the last entry.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Self { items, next_cursor }
    }
}

/// Keeps tenants.
///
/// Promises:
/// - **One owner a name**: of many who create an id at once one succeeds, the others get
///   [`AlreadyExists`](mcp_core::ErrorKind::AlreadyExists); the same for a schema.
/// - **Trying again is safe**: `create` with an idempotency key that made a tenant before answers with that
///   tenant as it is now; with a key that made another tenant it is a
///   [`Conflict`](mcp_core::ErrorKind::Conflict).
/// - **No lost update**: `update` succeeds only with the version that is stored; else it is a `Conflict` with
///   the current version, and nothing changes.
/// - **Suspending is idempotent**: suspending a suspended tenant changes nothing, its version included; the
///   same for resuming, deleting, restoring, and both ends of erasing.
/// - **A way back, until there is none**: a deleted tenant is what it was once it is restored; once erasing has
///   begun, which it does after the grace only, it cannot be.
/// - **Erased for ever**: what is left of an erased tenant is a tombstone without name or profile; its id and its
///   schema are never given again, and nothing changes it. Its receipt is kept as it was given, with the tombstone.
/// - **No project without its organisation**: a project's parent is there and active when it is created, and is no
///   project itself; an organisation is erased after its last project.
/// - **No skipped change**: revisions are unique, grow, and become visible in their order, so a reader who
///   asks [`changes_since`](Self::changes_since) the last revision it saw misses no change, whatever commits
///   at the same time.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait TenantStore: Send + Sync + fmt::Debug {
    /// Creates an active tenant with version 1.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), `AlreadyExists`, `Conflict`, `Unavailable`;
    /// `NotFound` if there is no such parent.
    async fn create(&self, scope: &PlatformScope, new: NewTenant) -> Result<Tenant>;

    /// The tenant, if there is one.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<Tenant>>;

    /// Up to `limit` tenants (1 to [`MAX_PAGE`]; other values are brought into that range) that `filter` admits, in
    /// the order of their ids, after the one `cursor` names.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn list(
        &self,
        scope: &PlatformScope,
        filter: &TenantFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>>;

    /// Replaces the profile, but for the region.
    ///
    /// # Errors
    /// `InvalidInput`, `NotFound`, `Conflict` with the current version or if the tenant is deleted,
    /// [`Unsupported`](mcp_core::ErrorKind::Unsupported) for another region, `Unavailable`.
    async fn update(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        expected_version: i64,
    ) -> Result<Tenant>;

    /// Suspends the tenant.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is deleted, `Unavailable`.
    async fn suspend(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant>;

    /// Lets the tenant be used again.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is deleted, `Unavailable`.
    async fn resume(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant>;

    /// Deletes the tenant: it is refused from now on, and may be erased after `erase_after`. One that is deleted
    /// already keeps its time.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn delete(&self, scope: &PlatformScope, id: &TenantId, erase_after: Timestamp) -> Result<Tenant>;

    /// Makes the tenant what it was before it was deleted.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` once erasing it, or its organisation, has begun, `Unavailable`.
    async fn restore(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant>;

    /// Up to `limit` tenants (as in [`list`](Self::list)) behind `after` in the order of their ids that wait to be
    /// erased or are in the middle of it: the deleted whose time has come, and the projects of an organisation that
    /// is being erased.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn due(&self, scope: &PlatformScope, after: Option<&TenantId>, limit: u32) -> Result<Vec<Tenant>>;

    /// Notes that erasing begins: there is no way back from here.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is not [due](Self::due), `Unavailable`.
    async fn begin_erasure(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant>;

    /// Notes that a step of the erasure has ended; one that is noted already stays as it is.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn record_step(&self, scope: &PlatformScope, id: &TenantId, step: &ErasureStep) -> Result<()>;

    /// The steps that were noted, in the order in which they ended.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn steps(&self, scope: &PlatformScope, id: &TenantId) -> Result<Vec<ErasureStep>>;

    /// Makes the tenant a tombstone, and keeps the receipt.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if erasing has not begun or a project of it is not erased, `Unavailable`.
    async fn erased(&self, scope: &PlatformScope, receipt: &ErasureReceipt) -> Result<Tenant>;

    /// The receipt of a tenant that was erased.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn receipt(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<ErasureReceipt>>;

    /// Up to `limit` tenants (as in [`list`](Self::list)) changed after `revision`, oldest change first, each
    /// as it is now. Zero asks for all.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn changes_since(&self, scope: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<Tenant>>;
}

/// The id a list goes on after.
pub(crate) fn parse_cursor(cursor: Option<&str>) -> Result<Option<TenantId>> {
    cursor.map(TenantId::parse).transpose().map_err(|error| {
        Error::invalid_input("tenant.list", "the cursor is not one this list gave; start without one")
            .with_source(error)
    })
}

pub(crate) fn not_found(operation: &'static str, id: &TenantId) -> Error {
    Error::not_found(operation, format!("there is no tenant `{id}`"))
}

pub(crate) fn already_exists(what: &str, value: &str) -> Error {
    Error::new(
        mcp_core::ErrorKind::AlreadyExists,
        "tenant.create",
        format!("a tenant with the {what} `{value}` exists already"),
    )
}

pub(crate) fn stale(current: i64) -> Error {
    Error::new(
        mcp_core::ErrorKind::Conflict,
        "tenant.update",
        format!("the tenant has changed; it now has version {current}"),
    )
    .with_detail(Detail::Conflict { current })
}

pub(crate) fn key_reused() -> Error {
    Error::new(
        mcp_core::ErrorKind::Conflict,
        "tenant.create",
        "this idempotency key made another tenant; use a new key",
    )
}
