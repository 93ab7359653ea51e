//! How much in a day or month: the port through which whoever spends reserves first and settles after.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Window;
use crate::{
    clock::Timestamp,
    error::{Detail, Error, ErrorKind, Result, Retry},
    scope::Scope,
};

/// The largest amount of a quota, a reservation or a settlement.
///
/// Every number up to here is exact in every JSON reader.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// What a quota counts, as in `chat.tokens`: 1–64 characters of `[a-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Meter(String);

impl Meter {
    /// Parses a meter's name.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it has another form.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(ok) {
            return Err(Error::invalid_input(
                "quota.meter",
                "a meter must have 1 to 64 characters of a-z, 0-9, '.', '_' and '-', as in `chat.tokens`",
            ));
        }
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meter({})", self.0)
    }
}

impl TryFrom<String> for Meter {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(text)
    }
}

impl From<Meter> for String {
    fn from(meter: Meter) -> Self {
        meter.0
    }
}

/// Names a reservation within its tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReservationId(Uuid);

impl ReservationId {
    /// A fresh id (UUIDv7).
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Parses an id.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no UUID.
    pub fn parse(text: &str) -> Result<Self> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| Error::invalid_input("quota.reservation", "a reservation's id is a UUID"))
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReservationId({})", self.0)
    }
}

/// An amount that is set aside until it is settled. It can be stored, and settled by another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// What is counted.
    pub meter: Meter,
    /// The worst case that was set aside.
    pub amount: u64,
    /// Until when it can be settled; after that the whole amount stays counted. `None` if no quota applies,
    /// so that nothing was set aside and settling does nothing.
    pub settle_by: Option<Timestamp>,
}

/// Counts what is used, and refuses what would be too much.
///
/// A caller reserves the most that its work can cost, does the work, and settles for what it did cost.
///
/// Promises:
/// - **Never over**: what is used and reserved of a period is never above its quota because of a
///   reservation, however many reserve at once, on however many replicas.
/// - **All or nothing**: a reservation counts in every quota that applies to the scope (those of the tenant
///   and of the principal, by day and by month), or in none.
/// - **The rest goes back**: settling replaces the reserved amount by the actual one, in the periods the
///   reservation was made in; a higher one is counted too, as it has been used.
/// - **Once**: the first settlement counts. Later ones, releases too, change nothing and succeed.
/// - **Counted if in doubt**: a reservation that is not settled in time stays counted in full until its
///   periods end. So a crash costs the tenant what it may have used, and never the platform.
/// - **Time goes forward**: a clock that jumps back does not bring back a period's quota.
/// - **Tenants apart**: what one tenant uses changes nothing for another, and no tenant can settle another's
///   reservation.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all. A reservation nobody learnt of stays
/// counted.
#[async_trait]
pub trait Quota: Send + Sync + fmt::Debug {
    /// Sets `amount` of `meter` aside for the scope's principal and tenant. Where no quota applies, it
    /// succeeds and counts nothing.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) with [`Detail::Quota`] and, if waiting helps,
    /// [`Detail::RetryAfter`]; [`InvalidInput`](ErrorKind::InvalidInput) above [`MAX_AMOUNT`];
    /// [`Unavailable`](ErrorKind::Unavailable) if nobody can say; the caller refuses then.
    async fn reserve(&self, scope: &Scope, meter: &Meter, amount: u64) -> Result<Reservation>;

    /// Replaces what was reserved by what was used.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the tenant has no such reservation, or it was to be settled
    /// before now; [`InvalidInput`](ErrorKind::InvalidInput) above [`MAX_AMOUNT`];
    /// [`Unavailable`](ErrorKind::Unavailable), after which it may be tried again.
    async fn settle(&self, scope: &Scope, reservation: &Reservation, actual: u64) -> Result<()>;

    /// Gives all of it back: nothing was used.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    async fn release(&self, scope: &Scope, reservation: &Reservation) -> Result<()> {
        self.settle(scope, reservation, 0).await
    }
}

/// The refusal of a reservation of `amount` where `remaining` of `limit` are left in `window`.
#[must_use]
pub fn exceeded(
    meter: &Meter,
    window: &Window,
    (limit, remaining): (u64, u64),
    amount: u64,
    now: Timestamp,
) -> Error {
    let period = window.period.as_str();
    let resets_at = window.end;
    let detail = Detail::Quota { meter: meter.to_string(), period, limit, remaining, resets_at };
    if amount > limit {
        let message = format!("this is larger than the quota of `{meter}` a {period} ever allows");
        return Error::new(ErrorKind::RateLimited, "quota.reserve", message)
            .with_retry(Retry::Never)
            .with_detail(detail);
    }
    let message =
        format!("the quota of `{meter}` for this {period} is used up; it is whole again at {resets_at}");
    Error::new(ErrorKind::RateLimited, "quota.reserve", message)
        .with_detail(Detail::RetryAfter(resets_at.since(now)))
        .with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Period;

    #[test]
    fn a_refusal_says_what_is_left_and_when_it_resets() {
        let meter = Meter::parse("chat.tokens").unwrap();
        let now = Timestamp::from_micros(1_704_067_200_000_000);
        let window = Period::Day.window(now);
        let error = exceeded(&meter, &window, (100, 30), 31, now);
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(86_400)));
        assert!(error.message().contains("2024-01-02T00:00:00Z"), "{error}");
        let never = exceeded(&meter, &window, (100, 100), 101, now);
        assert_eq!((never.retry(), never.retry_after()), (Retry::Never, None));
    }

    #[test]
    fn meters_are_lower_case_and_short() {
        assert_eq!(Meter::parse("chat.tokens").unwrap().as_str(), "chat.tokens");
        for bad in ["", "A", "a b", "a/b", &"x".repeat(65)] {
            assert!(Meter::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
