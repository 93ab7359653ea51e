//! Where tenants' policies are kept.

use std::fmt;

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail};

use super::{NewPolicy, PolicyHead, PolicyVersion};
use crate::tenant::Page;

/// Keeps the versions of each tenant's policy, and which one is active.
///
/// Promises:
/// - **Tenants apart**: what is done in one tenant changes and shows nothing in another; each has its own
///   numbers.
/// - **A number is one text**: versions never change, and no number is given twice, not after it was pruned
///   either.
/// - **Only what is valid decides**: a version that was not marked as validated cannot be activated.
/// - **No lost activation**: of many that replace one active version one succeeds, the others get
///   [`Conflict`](ErrorKind::Conflict) with the one that is active.
/// - **The way back**: an earlier version can be activated again, and none.
/// - **Bounded**: [`KEPT_VERSIONS`](super::KEPT_VERSIONS) newest of a tenant stay, and the active one.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all; what changed nothing leaves neither.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait PolicyStore: Send + Sync + fmt::Debug {
    /// Keeps a new version, as a draft.
    ///
    /// # Errors
    /// As [`NewPolicy::check`]; `Unavailable`.
    async fn draft(&self, scope: &Scope, new: NewPolicy) -> Result<PolicyVersion>;

    /// Notes that a version is valid. Whoever calls this has compiled it.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn mark_validated(&self, scope: &Scope, version: i64) -> Result<PolicyVersion>;

    /// Makes `version` the one that decides (0: none) in place of `expected` (0: none), and answers with it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if another is active than `expected` or the version was not validated,
    /// `Unavailable`.
    async fn activate(&self, scope: &Scope, version: i64, expected: i64) -> Result<i64>;

    /// The number of the active version; 0 where none is.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn active(&self, scope: &Scope) -> Result<i64>;

    /// A version.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn version(&self, scope: &Scope, version: i64) -> Result<Option<PolicyVersion>>;

    /// Up to `limit` versions (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE)), the newest first, after `cursor`.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn versions(&self, scope: &Scope, cursor: Option<&str>, limit: u32) -> Result<Page<PolicyHead>>;
}

pub(super) fn not_found(operation: &'static str, version: i64) -> Error {
    Error::not_found(operation, format!("there is no version {version} of the policy; old ones are pruned"))
}

/// Compares the active version with the one an activation expects.
pub(super) fn check_active(active: i64, expected: i64) -> Result<()> {
    if active == expected {
        return Ok(());
    }
    let message = match active {
        0 => "no version is active; expect 0".to_owned(),
        _ => format!("version {active} is active; look at it and decide anew"),
    };
    let conflict = Error::new(ErrorKind::Conflict, "policy.activate", message);
    Err(conflict.with_detail(Detail::Conflict { current: active }))
}

pub(super) fn not_validated(version: i64) -> Error {
    let message = format!("version {version} has not been validated; validate it first");
    Error::new(ErrorKind::Conflict, "policy.activate", message)
}

/// Below which number a page goes on.
pub(super) fn parse_cursor(cursor: Option<&str>) -> Result<i64> {
    let Some(cursor) = cursor else { return Ok(i64::MAX) };
    let digits = !cursor.is_empty() && cursor.bytes().all(|byte| byte.is_ascii_digit());
    cursor.parse().ok().filter(|_| digits).ok_or_else(|| {
        Error::invalid_input("policy.list", "`cursor` is not the `next_cursor` of an earlier page")
            .with_detail(Detail::Field { path: "cursor".into(), nearest: None })
    })
}
