//! How much: the ports through which layers and parts ask whether a call is within its limits.
//!
//! [`RateLimiter`] bounds how fast, over seconds and minutes; [`Quota`] bounds how much, over days and months.

mod period;
mod quota;

use std::{borrow::Cow, fmt, num::NonZeroU32, time::Duration};

use async_trait::async_trait;

use http::{HeaderMap, HeaderName};

use crate::{
    error::{Detail, Error, ErrorKind, Result, seconds_rounded_up},
    scope::{PlatformScope, PrincipalId, Scope},
};

pub use period::{Period, Window};
pub use quota::{MAX_AMOUNT, Meter, Quota, Reservation, ReservationId, exceeded};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// At most `burst` calls at once and `count` in every `per`, over one thing of the scope's tenant, or of the
/// platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is limited within the tenant: `tenant`, `principal/user-789`, `tool/everything__echo`.
    ///
    /// The limiter puts the tenant before it; two tenants' equal keys never meet.
    pub key: Cow<'static, str>,
    /// Calls in every `per`.
    pub count: NonZeroU32,
    /// The time in which `count` calls may be made.
    pub per: Duration,
    /// Calls that may be made at once after a pause.
    pub burst: NonZeroU32,
}

impl Limit {
    /// Longest key, in bytes.
    pub const MAX_KEY: usize = 256;
    /// Most limits of one call.
    pub const MAX_AT_ONCE: usize = 16;

    /// `count` calls a minute, all of which may come at once after a pause.
    #[must_use]
    pub const fn per_minute(key: Cow<'static, str>, count: NonZeroU32) -> Self {
        Self { key, count, per: Duration::from_secs(60), burst: count }
    }

    /// `count` calls a minute of all the tenant's principals together.
    #[must_use]
    pub const fn tenant(count: NonZeroU32) -> Self {
        Self::per_minute(Cow::Borrowed("tenant"), count)
    }

    /// `count` calls a minute of one principal, whatever its credentials.
    #[must_use]
    pub fn principal(id: &PrincipalId, count: NonZeroU32) -> Self {
        Self::per_minute(format!("principal/{id}").into(), count)
    }

    /// `count` calls a minute of one tool, all principals together.
    ///
    /// `name` is that of a tool there is, never text as a caller sent it: each name occupies a key.
    #[must_use]
    pub fn tool(name: &str, count: NonZeroU32) -> Self {
        Self::per_minute(format!("tool/{name}").into(), count)
    }

    /// Checks what limiters require of the limits of one call.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if there are more than [`MAX_AT_ONCE`](Self::MAX_AT_ONCE),
    /// or a key is longer than [`MAX_KEY`](Self::MAX_KEY) or comes twice.
    pub fn check(limits: &[Self]) -> Result<()> {
        let complaint = if limits.len() > Self::MAX_AT_ONCE {
            format!("a call may have at most {} limits", Self::MAX_AT_ONCE)
        } else if limits.iter().any(|limit| limit.key.len() > Self::MAX_KEY) {
            format!("the key of a limit may have at most {} bytes", Self::MAX_KEY)
        } else if (1..limits.len()).any(|n| limits[..n].iter().any(|limit| limit.key == limits[n].key)) {
            "the limits of a call must have different keys".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid_input("limit.check", complaint))
    }
}

/// What a limiter decided, with the figures of the strictest limit: the one that refused for longest or,
/// where all allowed, the one with the fewest calls left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the call may go on.
    pub allowed: bool,
    /// Which of the limits asked about these figures are of, from 0.
    pub index: usize,
    /// The limit's burst.
    pub limit: u64,
    /// Calls that may be made right now.
    pub remaining: u64,
    /// Time until the whole burst may be made again.
    pub reset: Duration,
    /// Time until this call would be allowed; zero where it was, [`Duration::MAX`] where it never will be
    /// because it costs more than the burst.
    pub retry_after: Duration,
}

impl Decision {
    /// Writes `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds, rounded up).
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        headers.insert(RESET, seconds_rounded_up(self.reset).into());
    }

    /// The error of a refused call, with what becomes the same headers and `Retry-After`.
    #[must_use]
    pub fn refusal(&self) -> Error {
        let Self { limit, remaining, reset, .. } = *self;
        let error = if self.retry_after == Duration::MAX {
            Error::new(
                ErrorKind::RateLimited,
                "limit.check",
                "this call is larger than the limit ever allows",
            )
            .with_retry(crate::error::Retry::Never)
        } else {
            Error::new(ErrorKind::RateLimited, "limit.check", "too many requests; wait and try again")
                .with_detail(Detail::RetryAfter(self.retry_after))
        };
        error.with_detail(Detail::RateLimit { limit, remaining, reset })
    }
}

/// Decides whether a call is within its limits.
///
/// Promises:
/// - **All or nothing**: a call that one limit refuses uses up nothing of the others.
/// - **Never over**: in any span of time `T` at most `burst + count × T / per` is allowed, however many ask
///   at once.
/// - **Tenants apart**: what one tenant uses changes nothing for another, with equal keys too, and nothing
///   for what works above tenants.
/// - **The strictest speaks**: the figures are those of the limit that refused for longest or, where all
///   allowed, of the one with the fewest calls left.
/// - **Bounded**: memory does not grow without end with the number of keys, and limits that
///   [`Limit::check`] refuses are refused.
///
/// # Cancellation
/// A call dropped before it answers may or may not have used its cost.
#[async_trait]
pub trait RateLimiter: Send + Sync + fmt::Debug {
    /// Takes `cost` from each of `limits`, whose keys differ, or from none. No limits, no decision: the call
    /// may go on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) as [`Limit::check`];
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or [`Upstream`](crate::ErrorKind::Upstream) if the
    /// limiter cannot decide; the caller refuses then.
    async fn check(&self, scope: &Scope, limits: &[Limit], cost: NonZeroU32) -> Result<Option<Decision>>;

    /// The same for work above tenants: `operator_key/0a1b…`.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    async fn check_platform(
        &self,
        scope: &PlatformScope,
        limits: &[Limit],
        cost: NonZeroU32,
    ) -> Result<Option<Decision>>;
}
