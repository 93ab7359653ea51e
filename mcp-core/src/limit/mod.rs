//! How much: the port through which layers ask whether a call is within its limits.

use std::{borrow::Cow, fmt, num::NonZeroU32, time::Duration};

use async_trait::async_trait;

use http::{HeaderMap, HeaderName};

use crate::{
    error::{Detail, Error, ErrorKind, Result, seconds_rounded_up},
    scope::{PlatformScope, Scope},
};

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
    /// `count` calls a minute, all of which may come at once after a pause.
    #[must_use]
    pub const fn per_minute(key: Cow<'static, str>, count: NonZeroU32) -> Self {
        Self { key, count, per: Duration::from_secs(60), burst: count }
    }
}

/// What a limiter decided, with the figures of the strictest limit: the one that refused for longest or,
/// where all allowed, the one with the fewest calls left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the call may go on.
    pub allowed: bool,
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
/// - **Bounded**: memory does not grow without end with the number of keys.
///
/// # Cancellation
/// A call dropped before it answers may or may not have used its cost.
#[async_trait]
pub trait RateLimiter: Send + Sync + fmt::Debug {
    /// Takes `cost` from each of `limits`, whose keys differ, or from none. No limits, no decision: the call
    /// may go on.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the limiter cannot decide; the caller refuses then.
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
