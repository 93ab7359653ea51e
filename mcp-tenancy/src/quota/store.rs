//! Where quotas and what was used of them are kept.

use async_trait::async_trait;
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    clock::Timestamp,
    limit::{Meter, Quota, Reservation, ReservationId},
    scope::TenantId,
};

use super::{MAX_LIMITS, QuotaConfig, QuotaLimit, QuotaUsage};

/// Keeps quotas, and counts.
///
/// Promises, beside those of [`Quota`]:
/// - **One quota each**: of a subject, meter and period there is one; setting it again replaces it, and
///   what was used stays used.
/// - **Seen soon**: a change counts here at once, and on other replicas within a second.
/// - **Counted from when it is set**: what is used where no quota applies is not counted.
/// - **Durable when acknowledged**, on the backends that have a disk: a change, its event and its audit
///   record commit together or not at all.
///
/// A clock that jumps ahead begins the period it shows, and once it is set right, that period goes on to
/// count until its end; [`reset`](Self::reset) is the way out. A clock that jumps back by less than two
/// months finds what was counted.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait QuotaStore: Quota {
    /// Sets a quota.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) as [`QuotaLimit::validate`];
    /// [`Conflict`](ErrorKind::Conflict) if the tenant has [`MAX_LIMITS`] others; `Unavailable`.
    async fn set(&self, scope: &PlatformScope, tenant: &TenantId, limit: QuotaLimit) -> Result<()>;

    /// Removes the quota of that subject, meter and period, whatever its amount; none is fine too.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn remove(&self, scope: &PlatformScope, tenant: &TenantId, limit: &QuotaLimit) -> Result<()>;

    /// A tenant's quotas, in the order of subject, meter and period.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn limits(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<QuotaLimit>>;

    /// Forgets all that the tenant has used: every quota of it begins anew. Reservations made before cannot
    /// be settled any more.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such tenant, `Unavailable`.
    async fn reset(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<()>;

    /// What was used of the quotas that apply to the scope: the tenant's, and those of its principal.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn usage(&self, scope: &Scope) -> Result<Vec<QuotaUsage>>;
}

/// A reservation where no quota applies.
pub(super) fn uncounted(meter: &Meter, amount: u64) -> Reservation {
    Reservation { id: ReservationId::generate(), meter: meter.clone(), amount, settle_by: None }
}

/// A reservation that is counted.
pub(super) fn counted(config: QuotaConfig, meter: &Meter, amount: u64, now: Timestamp) -> Reservation {
    let settle_by = Some(now.after(config.settle_within));
    Reservation { id: ReservationId::generate(), meter: meter.clone(), amount, settle_by }
}

pub(super) fn too_many() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "quota.set",
        format!("a tenant may have at most {MAX_LIMITS} quotas; remove one first"),
    )
}

pub(super) fn not_found() -> Error {
    Error::not_found("quota.settle", "there is no such reservation, or its time to be settled has passed")
}
