//! Going on with limits of this process while the shared limiter is away.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    clock::{Clock, Timestamp},
    limit::{Decision, Limit, RateLimiter},
};
use serde::Serialize;
use tokio::time::Instant;

use super::GcraLimiter;

/// How a [`FallbackLimiter`] goes on.
#[derive(Debug, Clone, Copy)]
pub struct FallbackConfig {
    /// By how much each limit is divided while this process decides alone: the number of replicas keeps
    /// their sum at the limit, 1 lets each of them have the whole. Default 1.
    pub divide_by: NonZeroU32,
    /// Time between two questions to a limiter that failed. Default one second.
    pub probe_every: Duration,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self { divide_by: NonZeroU32::MIN, probe_every: Duration::from_secs(1) }
    }
}

/// Who decides: for readiness and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LimiterHealth {
    /// The shared limiter.
    Ok,
    /// Each process for itself, since then.
    Degraded {
        /// When the shared limiter failed.
        since: Timestamp,
    },
}

/// A [`RateLimiter`] shared by replicas, and one in this process for when it is away.
///
/// When a check fails, the local limiter answers it and all that follow; once in
/// [`probe_every`](FallbackConfig::probe_every) one check asks the shared limiter again, and if it answers,
/// it decides from then on. So a limiter that is away costs one call a second its timeout, and no other.
///
/// # How wrong it is
/// What the shared limiter lets through keeps the limit, and so does what each process lets through locally,
/// over any span of time. Of `n` processes with limits divided by `d`, all together let through:
/// - at most `n / d` times the limit in a span in which the shared limiter was away throughout;
/// - at most `1 + n / d` times in a span that reaches over its going or coming back;
/// - one more burst for each time it comes back without what it knew.
///
/// A divided burst is at least one call, or the cost of the call that asks. `mcp_limiter_degraded` is 1 while
/// the local limiter decides, `mcp_limiter_fallback_total` counts what it decided.
#[derive(Debug)]
pub struct FallbackLimiter {
    shared: Arc<dyn RateLimiter>,
    local: GcraLimiter,
    config: FallbackConfig,
    clock: Arc<dyn Clock>,
    away: Mutex<Option<Away>>,
}

#[derive(Debug, Clone, Copy)]
struct Away {
    since: Timestamp,
    probe_at: Instant,
}

impl FallbackLimiter {
    /// Asks `shared`, and `local` while that is away. `clock` tells since when.
    #[must_use]
    pub fn new(
        shared: Arc<dyn RateLimiter>,
        local: GcraLimiter,
        config: FallbackConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        metrics::gauge!("mcp_limiter_degraded").set(0.0);
        Self { shared, local, config, clock, away: Mutex::new(None) }
    }

    /// Who decides now.
    #[must_use]
    pub fn health(&self) -> LimiterHealth {
        self.away(|away| {
            away.map_or(LimiterHealth::Ok, |Away { since, .. }| LimiterHealth::Degraded { since })
        })
    }

    fn away<T>(&self, look: impl FnOnce(&mut Option<Away>) -> T) -> T {
        look(&mut self.away.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this check asks the shared limiter. Of those that come while it is away, one in a while: if
    /// that one is dropped before there is an answer, the next one comes a while later.
    fn asks_shared(&self) -> bool {
        self.away(|away| match away {
            None => true,
            Some(away) if Instant::now() < away.probe_at => false,
            Some(away) => {
                away.probe_at = Instant::now() + self.config.probe_every;
                true
            }
        })
    }

    /// Notes how the shared limiter did, and says whether what it answered stands.
    fn stands(&self, asked: &Result<Option<Decision>>) -> bool {
        match asked {
            Ok(_) => self.answered(),
            // It was asked what nobody may ask, and says nothing about itself.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {}
            Err(error) => {
                self.failed(error);
                return false;
            }
        }
        true
    }

    fn failed(&self, error: &Error) {
        let probe_at = Instant::now() + self.config.probe_every;
        let is_new = self.away(|away| {
            let known = *away;
            let since = known.map_or_else(|| self.clock.now(), |known| known.since);
            *away = Some(Away { since, probe_at });
            known.is_none()
        });
        if is_new {
            metrics::gauge!("mcp_limiter_degraded").set(1.0);
            tracing::warn!(
                error = error.report(),
                "the shared limiter is away: each replica limits for itself"
            );
        }
    }

    fn answered(&self) {
        if self.away(Option::take).is_some() {
            metrics::gauge!("mcp_limiter_degraded").set(0.0);
            tracing::info!("the shared limiter answers again");
        }
    }

    fn divided(&self, limits: &[Limit], cost: NonZeroU32) -> Vec<Limit> {
        metrics::counter!("mcp_limiter_fallback_total").increment(1);
        let by = self.config.divide_by;
        let divide = |limit: &Limit| {
            // A call that the whole limit would ever allow must not be told that it never will be.
            let burst = NonZeroU32::new(limit.burst.get() / by).unwrap_or(NonZeroU32::MIN);
            let burst = burst.max(cost.min(limit.burst));
            Limit { per: limit.per.saturating_mul(by.get()), burst, ..limit.clone() }
        };
        limits.iter().map(divide).collect()
    }
}

#[async_trait]
impl RateLimiter for FallbackLimiter {
    async fn check(&self, scope: &Scope, limits: &[Limit], cost: NonZeroU32) -> Result<Option<Decision>> {
        if self.asks_shared() {
            let asked = self.shared.check(scope, limits, cost).await;
            if self.stands(&asked) {
                return asked;
            }
        }
        self.local.check(scope, &self.divided(limits, cost), cost).await
    }

    async fn check_platform(
        &self,
        scope: &PlatformScope,
        limits: &[Limit],
        cost: NonZeroU32,
    ) -> Result<Option<Decision>> {
        if self.asks_shared() {
            let asked = self.shared.check_platform(scope, limits, cost).await;
            if self.stands(&asked) {
                return asked;
            }
        }
        self.local.check_platform(scope, &self.divided(limits, cost), cost).await
    }
}

#[cfg(test)]
mod tests;
