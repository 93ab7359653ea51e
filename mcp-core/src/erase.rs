//! Erasing what is a tenant's: every part of a platform that keeps something of tenants joins with a
//! [`TenantEraser`].

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::{Detail, Error, Result},
    scope::{PlatformScope, TenantId},
};

/// What one part had of a tenant, and has no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Erased {
    /// How many of what: rows by their table, files, processes. What there was none of is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Names of the wrapping keys of destroyed data keys: a backup from before holds data keys wrapped by these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrapping_keys: Vec<String>,
    /// The last link of the tenant's audit chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_link: Option<LastLink>,
}

impl Erased {
    /// Notes `count` of `what`.
    pub fn count(&mut self, what: impl Into<String>, count: u64) {
        if count > 0 {
            *self.counts.entry(what.into()).or_default() += count;
        }
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Where an audit chain ended when it was erased: what its checkpoints outside of the database are compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct LastLink {
    /// Its number; zero if nothing was ever sealed.
    pub seq: i64,
    /// Its SHA-256, in hexadecimal digits.
    pub hash: String,
    /// Records behind it that were not sealed yet.
    pub unsealed: u64,
}

/// A part of a platform that keeps something of tenants, and erases it.
///
/// # What it promises
/// 1. **Whole**: when it has answered, nothing of the tenant is left in this part, in no replica.
/// 2. **No other**: nothing of another tenant is touched.
/// 3. **Again is safe**: it may be asked again at any time, after an error, a crash or its own success; a tenant of
///    which there is nothing is erased already.
/// 4. **Refused is not yet**: an error of kind [`Unavailable`](crate::ErrorKind::Unavailable) means that it cannot
///    be done now; it is asked again.
///
/// # Cancellation
/// May be dropped at any await; asking again finishes it.
#[async_trait]
pub trait TenantEraser: Send + Sync + fmt::Debug {
    /// The part's name, unique in a platform and for ever: the step of an erasure is recorded under it.
    fn name(&self) -> &'static str;

    /// Erases everything this part has of the tenant, whose calls are refused everywhere already.
    ///
    /// # Errors
    /// Those of the part; the erasure goes on with this step later.
    async fn erase(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Erased>;
}

/// Refuses to go on before `wait` has passed since `closed_at`: until then a replica may write that has not heard
/// that the tenant is closed.
///
/// # Errors
/// `Unavailable` with the time that is left.
pub fn require_settled(closed_at: Timestamp, wait: Duration, now: Timestamp) -> Result<()> {
    match wait.checked_sub(now.since(closed_at)) {
        None | Some(Duration::ZERO) => Ok(()),
        Some(left) => {
            let message = "not every replica may have heard yet that the tenant is closed; it is tried again";
            Err(Error::unavailable("tenant.erase", message).with_detail(Detail::RetryAfter(left)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_erased_before_everybody_may_have_heard() {
        let closed = Timestamp::from_micros(1_000_000);
        let wait = Duration::from_secs(90);
        for early in [0, 1_000_000, 90_999_999] {
            let error = require_settled(closed, wait, Timestamp::from_micros(early)).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        }
        require_settled(closed, wait, Timestamp::from_micros(91_000_000)).unwrap();
        require_settled(closed, Duration::ZERO, closed).unwrap();
    }
}
