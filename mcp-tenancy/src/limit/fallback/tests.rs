use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use mcp_core::{
    clock::ManualClock,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};

use super::*;

const ONE: NonZeroU32 = NonZeroU32::MIN;
const GOOD: u8 = 0;
const AWAY: u8 = 1;
const HANGS: u8 = 2;

/// A limiter that others share, which a test sends away.
#[derive(Debug, Default)]
struct Shared {
    limiter: GcraLimiter,
    state: AtomicU8,
    asked: AtomicU32,
}

#[async_trait]
impl RateLimiter for Shared {
    async fn check(&self, scope: &Scope, limits: &[Limit], cost: NonZeroU32) -> Result<Option<Decision>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.state.load(Ordering::SeqCst) {
            GOOD => self.limiter.check(scope, limits, cost).await,
            AWAY => Err(Error::unavailable("limit.check", "away")),
            _ => std::future::pending().await,
        }
    }

    async fn check_platform(
        &self,
        scope: &PlatformScope,
        limits: &[Limit],
        cost: NonZeroU32,
    ) -> Result<Option<Decision>> {
        match self.state.load(Ordering::SeqCst) {
            GOOD => self.limiter.check_platform(scope, limits, cost).await,
            _ => Err(Error::upstream("limit.check", "nonsense")),
        }
    }
}

fn scope() -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("p").unwrap(),
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
}

fn limit(count: u32) -> [Limit; 1] {
    [Limit::tenant(NonZeroU32::new(count).unwrap())]
}

fn replica(shared: &Arc<Shared>, divide_by: u32) -> FallbackLimiter {
    let config =
        FallbackConfig { divide_by: NonZeroU32::new(divide_by).unwrap(), ..FallbackConfig::default() };
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(7)));
    FallbackLimiter::new(shared.clone(), GcraLimiter::default(), config, clock)
}

/// How many of `calls` pass.
async fn passed(limiter: &FallbackLimiter, count: u32, calls: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..calls {
        let decision = limiter.check(&scope(), &limit(count), ONE).await.unwrap();
        passed += u32::from(decision.is_none_or(|decision| decision.allowed));
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn while_the_shared_limiter_answers_it_alone_decides() {
    let shared = Arc::new(Shared::default());
    let (one, two) = (replica(&shared, 1), replica(&shared, 1));
    assert_eq!(passed(&one, 10, 6).await + passed(&two, 10, 20).await, 10);
    assert_eq!(one.health(), LimiterHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_limiter_that_is_away_is_asked_once_in_a_while() {
    let shared = Arc::new(Shared::default());
    shared.state.store(AWAY, Ordering::SeqCst);
    let replica = replica(&shared, 1);
    passed(&replica, 1000, 500).await;
    assert_eq!(shared.asked.load(Ordering::SeqCst), 1);
    assert_eq!(replica.health(), LimiterHealth::Degraded { since: Timestamp::from_micros(7) });
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(1)).await;
        passed(&replica, 1000, 100).await;
    }
    assert_eq!(shared.asked.load(Ordering::SeqCst), 4);

    shared.state.store(GOOD, Ordering::SeqCst);
    passed(&replica, 1000, 1).await;
    assert_eq!(shared.asked.load(Ordering::SeqCst), 4, "asked before its time");
    tokio::time::advance(Duration::from_secs(1)).await;
    passed(&replica, 1000, 5).await;
    assert_eq!((shared.asked.load(Ordering::SeqCst), replica.health()), (9, LimiterHealth::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_does_not_end_the_probing() {
    let shared = Arc::new(Shared::default());
    shared.state.store(AWAY, Ordering::SeqCst);
    let replica = replica(&shared, 1);
    passed(&replica, 10, 1).await;
    shared.state.store(HANGS, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    let (scope, limits) = (scope(), limit(10));
    let mut probe = Box::pin(replica.check(&scope, &limits, ONE));
    assert!(futures_util::poll!(&mut probe).is_pending());
    assert_eq!(passed(&replica, 10, 3).await, 3, "others wait for the probe");
    drop(probe);
    shared.state.store(GOOD, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(1)).await;
    passed(&replica, 10, 1).await;
    assert_eq!(replica.health(), LimiterHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn the_error_is_the_stated_one() {
    for (divide_by, most) in [(1, 3 * 12), (3, 12), (100, 3)] {
        let shared = Arc::new(Shared::default());
        shared.state.store(AWAY, Ordering::SeqCst);
        let mut all = 0;
        for replica in [replica(&shared, divide_by), replica(&shared, divide_by), replica(&shared, divide_by)]
        {
            all += passed(&replica, 12, 50).await;
        }
        assert_eq!(all, most, "three replicas, limits divided by {divide_by}");
    }
    // The steady rate is divided too: of 12 a minute divided by 3, one call in 15 seconds.
    let shared = Arc::new(Shared::default());
    shared.state.store(AWAY, Ordering::SeqCst);
    let replica = replica(&shared, 3);
    passed(&replica, 12, 50).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(passed(&replica, 12, 50).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_costly_call_is_not_told_that_it_never_will_pass() {
    let shared = Arc::new(Shared::default());
    shared.state.store(AWAY, Ordering::SeqCst);
    let replica = replica(&shared, 10);
    let ten = NonZeroU32::new(10).unwrap();
    let decision = replica.check(&scope(), &limit(10), ten).await.unwrap().unwrap();
    assert!(decision.allowed, "{decision:?}");
    let eleven = NonZeroU32::new(11).unwrap();
    let never = replica.check(&scope(), &limit(10), eleven).await.unwrap().unwrap();
    assert_eq!(never.retry_after, Duration::MAX);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_may_ask_says_nothing_about_the_limiter() {
    let shared = Arc::new(Shared::default());
    let replica = replica(&shared, 1);
    let twice = [limit(1), limit(1)].concat();
    let error = replica.check(&scope(), &twice, ONE).await.unwrap_err();
    assert_eq!((error.kind(), replica.health()), (ErrorKind::InvalidInput, LimiterHealth::Ok));
}

#[tokio::test(start_paused = true)]
async fn above_tenants_it_is_the_same() {
    let shared = Arc::new(Shared::default());
    shared.state.store(AWAY, Ordering::SeqCst);
    let replica = replica(&shared, 1);
    let operator = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
    for expected in [true, false] {
        let decision = replica.check_platform(&operator, &limit(1), ONE).await.unwrap().unwrap();
        assert_eq!(decision.allowed, expected);
    }
    assert!(matches!(replica.health(), LimiterHealth::Degraded { .. }));
}
