//! The limiter in process.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result, Scope,
    limit::{Decision, Limit, RateLimiter},
    scope::TenantId,
};
use tokio::time::Instant;

use super::cell::{Nanos, Rate, strictest};

/// Tenants are spread over this many locks.
const SHARDS: usize = 32;
/// How many checks of a shard pass between two sweeps of its idle cells.
const SWEEP_EVERY: u32 = 4096;

/// A [`RateLimiter`] in this process, by GCRA: right for one replica; several allow each their own.
///
/// Time is tokio's, which only goes forward. No lock is held across an await. A cell at rest says nothing
/// that a missing one does not, so idle cells are swept away; a tenant whose cells are all busy gets no new
/// ones and is refused until one is idle, and so cannot crowd out another tenant or its own limits.
#[derive(Debug)]
pub struct GcraLimiter {
    origin: Instant,
    max_keys: usize,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    /// By tenant; `None` is what works above them.
    tenants: HashMap<Option<TenantId>, Cells>,
    checks: u32,
}

#[derive(Debug, Default)]
struct Cells {
    by_key: HashMap<Box<str>, Nanos>,
    /// No cell was idle before this time when they were last looked through.
    none_idle_before: Nanos,
}

impl Default for GcraLimiter {
    /// With at most 10,000 keys a tenant.
    fn default() -> Self {
        Self::new(10_000)
    }
}

impl GcraLimiter {
    /// A limiter that remembers at most `max_keys` busy keys a tenant.
    #[must_use]
    pub fn new(max_keys: usize) -> Self {
        Self {
            origin: Instant::now(),
            max_keys: max_keys.max(1),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Cells remembered now, over all tenants.
    #[must_use]
    pub fn len(&self) -> usize {
        let cells = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.tenants.values().map(|cells| cells.by_key.len()).sum::<usize>()
        };
        self.shards.iter().map(cells).sum()
    }

    /// Whether no cell is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn decide(&self, tenant: Option<TenantId>, limits: &[Limit], cost: NonZeroU32) -> Option<Decision> {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "any part of the hash spreads as well")]
        let index = self.hasher.hash_one(&tenant) as usize % SHARDS;
        let mut shard = self.shards.get(index)?.lock().unwrap_or_else(PoisonError::into_inner);
        shard.sweep_now_and_then(now);
        shard.tenants.entry(tenant).or_default().decide(limits, cost.get(), now, self.max_keys)
    }
}

#[async_trait]
impl RateLimiter for GcraLimiter {
    async fn check(&self, scope: &Scope, limits: &[Limit], cost: NonZeroU32) -> Result<Option<Decision>> {
        Limit::check(limits)?;
        Ok(self.decide(Some(scope.tenant().clone()), limits, cost))
    }

    async fn check_platform(
        &self,
        _: &PlatformScope,
        limits: &[Limit],
        cost: NonZeroU32,
    ) -> Result<Option<Decision>> {
        Limit::check(limits)?;
        Ok(self.decide(None, limits, cost))
    }
}

impl Shard {
    fn sweep_now_and_then(&mut self, now: Nanos) {
        self.checks += 1;
        if self.checks < SWEEP_EVERY {
            return;
        }
        self.checks = 0;
        self.tenants.retain(|_, cells| {
            cells.by_key.retain(|_, full_at| *full_at > now);
            !cells.by_key.is_empty()
        });
    }
}

impl Cells {
    fn decide(&mut self, limits: &[Limit], cost: u32, now: Nanos, max_keys: usize) -> Option<Decision> {
        let look = |limit: &Limit| {
            let full_at = self.by_key.get(&*limit.key).copied().unwrap_or(0);
            Rate::of(limit).decide(full_at, now, cost)
        };
        let decided: Vec<_> = limits.iter().map(look).collect();
        let strictest = strictest(decided.iter().map(|(decision, _)| *decision))?;
        if !strictest.allowed {
            return Some(strictest);
        }
        let new_keys = limits.iter().filter(|limit| !self.by_key.contains_key(&*limit.key)).count();
        if let Err(wait) = self.make_room(new_keys, now, max_keys) {
            return Some(Decision {
                allowed: false,
                remaining: 0,
                reset: wait,
                retry_after: wait,
                ..strictest
            });
        }
        for (limit, (_, full_at)) in limits.iter().zip(decided) {
            match self.by_key.get_mut(&*limit.key) {
                Some(cell) => *cell = full_at,
                None => drop(self.by_key.insert(limit.key.as_ref().into(), full_at)),
            }
        }
        Some(strictest)
    }

    /// Makes room for `wanted` new cells, or says how long none will be idle.
    fn make_room(&mut self, wanted: usize, now: Nanos, max_keys: usize) -> Result<(), Duration> {
        if wanted == 0 || self.by_key.len() + wanted <= max_keys {
            return Ok(());
        }
        // Looking through them all is paid for once per idle time, not once per call.
        if now >= self.none_idle_before {
            self.by_key.retain(|_, full_at| *full_at > now);
            self.none_idle_before = self.by_key.values().copied().min().unwrap_or(now);
        }
        match self.by_key.len() + wanted <= max_keys {
            true => Ok(()),
            false => Err(Duration::from_nanos(self.none_idle_before.saturating_sub(now).max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap as Model, sync::Arc};

    use mcp_core::scope::{Permissions, Principal, PrincipalId, PrincipalKind};
    use proptest::prelude::*;

    use super::*;

    fn scope(tenant: &str) -> Scope {
        let principal = Principal {
            id: PrincipalId::parse("p").unwrap(),
            kind: PrincipalKind::Service,
            permissions: Permissions::default(),
        };
        Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
    }

    fn per_minute(key: &str, count: u32) -> Limit {
        Limit::per_minute(key.to_owned().into(), NonZeroU32::new(count).unwrap())
    }

    async fn allowed(limiter: &GcraLimiter, tenant: &str, limits: &[Limit]) -> bool {
        limiter.check(&scope(tenant), limits, NonZeroU32::MIN).await.unwrap().is_none_or(|d| d.allowed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_call_uses_up_nothing_of_the_other_limits() {
        let limiter = GcraLimiter::default();
        let (wide, narrow) = (per_minute("wide", 10), per_minute("narrow", 1));
        let both = [wide.clone(), narrow];
        assert!(allowed(&limiter, "acme", &both).await);
        for _ in 0..50 {
            assert!(!allowed(&limiter, "acme", &both).await);
        }
        let decision = limiter.check(&scope("acme"), &[wide], NonZeroU32::MIN).await.unwrap().unwrap();
        assert_eq!(decision.remaining, 8);
    }

    #[tokio::test(start_paused = true)]
    async fn the_strictest_limit_gives_the_figures() {
        let limiter = GcraLimiter::default();
        let limits = [per_minute("wide", 10), per_minute("narrow", 2)];
        let first = limiter.check(&scope("acme"), &limits, NonZeroU32::MIN).await.unwrap().unwrap();
        assert_eq!((first.limit, first.remaining, first.index), (2, 1, 1));
        allowed(&limiter, "acme", &limits).await;
        let refused = limiter.check(&scope("acme"), &limits, NonZeroU32::MIN).await.unwrap().unwrap();
        assert_eq!((refused.limit, refused.retry_after), (2, Duration::from_secs(30)));
        tokio::time::advance(refused.retry_after).await;
        assert!(allowed(&limiter, "acme", &limits).await);
    }

    #[tokio::test(start_paused = true)]
    async fn equal_keys_of_two_tenants_never_meet() {
        let limiter = GcraLimiter::default();
        let limits = [per_minute("tenant", 1)];
        assert!(allowed(&limiter, "acme", &limits).await);
        assert!(!allowed(&limiter, "acme", &limits).await);
        assert!(allowed(&limiter, "beta", &limits).await);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limits_allow_everything() {
        assert_eq!(GcraLimiter::default().check(&scope("a"), &[], NonZeroU32::MIN).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_bounded_and_crowding_hurts_only_the_crowd() {
        let limiter = GcraLimiter::new(3);
        for key in ["a", "b", "c"] {
            assert!(allowed(&limiter, "acme", &[per_minute(key, 1)]).await);
        }
        assert!(!allowed(&limiter, "acme", &[per_minute("d", 1)]).await, "a fourth busy key");
        assert!(!allowed(&limiter, "acme", &[per_minute("a", 1)]).await, "a busy key was forgotten");
        assert!(allowed(&limiter, "beta", &[per_minute("d", 1)]).await);
        assert_eq!(limiter.len(), 4);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(allowed(&limiter, "acme", &[per_minute("d", 1)]).await, "idle keys were kept");
        assert_eq!(limiter.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_tenants_are_swept_away() {
        let limiter = GcraLimiter::default();
        for n in 0..50 {
            allowed(&limiter, &format!("t{n}"), &[per_minute("tenant", 10)]).await;
        }
        assert_eq!(limiter.len(), 50);
        tokio::time::advance(Duration::from_secs(60)).await;
        for n in 0..50 {
            let scope = scope(&format!("t{n}"));
            for _ in 0..SWEEP_EVERY {
                limiter.check(&scope, &[], NonZeroU32::MIN).await.unwrap();
            }
        }
        assert!(limiter.is_empty(), "{} cells are left", limiter.len());
    }

    proptest! {
        /// Any sequence of calls over several keys decides as independent cells would that are only touched
        /// when all of them allow.
        #[test]
        fn several_limits_are_all_or_nothing(
            calls in prop::collection::vec((0_u64..30_000, 1_u32..4, prop::collection::vec(0_usize..4, 0..4)), 1..150),
        ) {
            let limits: Vec<_> = [3, 7, 20, 60].iter().map(|n| per_minute(&format!("k{n}"), *n)).collect();
            let mut model: Model<usize, Nanos> = Model::new();
            let (mut cells, mut now) = (Cells::default(), 0);
            for (gap_ms, cost, mut which) in calls {
                now += gap_ms * 1_000_000;
                which.sort_unstable();
                which.dedup();
                let asked: Vec<_> = which.iter().map(|i| limits[*i].clone()).collect();
                let got = cells.decide(&asked, cost, now, 100).is_none_or(|decision| decision.allowed);
                let naive: Vec<_> = which.iter().map(|i| {
                    (*i, Rate::of(&limits[*i]).decide(model.get(i).copied().unwrap_or(0), now, cost))
                }).collect();
                let expected = naive.iter().all(|(_, (decision, _))| decision.allowed);
                prop_assert_eq!(got, expected);
                if expected {
                    model.extend(naive.into_iter().map(|(i, (_, next))| (i, next)));
                }
            }
        }
    }
}
