//! Redis away, slow, and lying: what the limiter alone says, and how replicas go on.

use mcp_core::{
    ErrorKind,
    clock::{ManualClock, SystemClock, Timestamp},
    conformance::eventually,
};
use mcp_tenancy::limit::{FallbackConfig, FallbackLimiter, GcraLimiter, LimiterHealth};
use redis::AsyncCommands as _;
use tokio::time::Instant;

use super::{proxy::*, *};

const SHORT: Duration = Duration::from_millis(300);

fn replica(shared: RedisLimiter, divide_by: u32, probe_every: Duration) -> FallbackLimiter {
    let config = FallbackConfig { divide_by: NonZeroU32::new(divide_by).unwrap(), probe_every };
    FallbackLimiter::new(Arc::new(shared), GcraLimiter::default(), config, Arc::new(SystemClock))
}

fn prefix() -> String {
    fresh().1
}

#[tokio::test]
async fn without_a_fallback_a_redis_that_is_away_refuses() {
    let mut proxy = Proxy::start(Mode::Passes).await;
    let limiter = limiter(&proxy.url(), &prefix());
    assert!(check(&limiter, "acme", &[hourly("k", 9)]).await.allowed);
    proxy.kill().await;
    for _ in 0..3 {
        let error = limiter.check(&scope("acme"), &[hourly("k", 9)], ONE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    }
    proxy.restart().await;
    eventually("the limiter does not come back", || async {
        Ok(limiter.check(&scope("acme"), &[hourly("k", 9)], ONE).await.is_ok())
    })
    .await
    .unwrap_or_else(|failure| unreachable!("{failure}"));
}

#[tokio::test]
async fn a_redis_that_is_not_there_at_start_is_no_obstacle() {
    let mut proxy = Proxy::start(Mode::Passes).await;
    proxy.kill().await;
    let replica = replica(limiter(&proxy.url(), &prefix()), 1, Duration::ZERO);
    assert!(check(&replica, "acme", &[hourly("k", 9)]).await.allowed);
    assert!(matches!(replica.health(), LimiterHealth::Degraded { .. }));
    proxy.restart().await;
    comes_back(&replica).await;
}

async fn comes_back(replica: &FallbackLimiter) {
    eventually("the replica stays degraded", || async {
        replica.check(&scope("other"), &[hourly("k", 1000)], ONE).await?;
        Ok(replica.health() == LimiterHealth::Ok)
    })
    .await
    .unwrap_or_else(|failure| unreachable!("{failure}"));
}

/// Two replicas under load; Redis is killed in the middle of it, and comes back with what it knew: no check
/// fails, and together they let through at most 1 + n / d times the limit.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_load_and_restarted_the_error_is_the_stated_one() {
    for (divide_by, most) in [(1, 300), (2, 200)] {
        let (mut proxy, prefix) = (Proxy::start(Mode::Passes).await, prefix());
        let replicas = [(), ()].map(|()| {
            Arc::new(replica(limiter(&proxy.url(), &prefix), divide_by, Duration::from_millis(20)))
        });
        let limits = [hourly("tenant", 100), hourly("principal/p", 100)];
        let load = |replica: &Arc<FallbackLimiter>| {
            let (replica, limits) = (replica.clone(), limits.clone());
            tokio::spawn(async move {
                let mut allowed = 0;
                for _ in 0..400 {
                    allowed += u32::from(check(&*replica, "acme", &limits).await.allowed);
                    tokio::task::yield_now().await;
                }
                allowed
            })
        };
        let mut running: Vec<_> = replicas.iter().map(load).collect();
        proxy.kill().await;
        for replica in &replicas {
            eventually("nobody notices", || async {
                replica.check(&scope("other"), &[hourly("k", 1000)], ONE).await?;
                Ok(replica.health() != LimiterHealth::Ok)
            })
            .await
            .unwrap_or_else(|failure| unreachable!("{failure}"));
        }
        running.extend(replicas.iter().map(load));
        for task in running.drain(..2) {
            assert!(task.await.unwrap() <= most);
        }
        proxy.restart().await;
        for replica in &replicas {
            comes_back(replica).await;
        }
        running.extend(replicas.iter().map(load));
        let mut all = 0;
        for task in running {
            all += task.await.unwrap();
        }
        assert!(all <= most, "{all} of {most} were let through");
        // Both went on: what Redis let through and what they let through alone.
        assert!(all >= 100, "{all} were let through");
        for replica in &replicas {
            assert!(!check(&**replica, "acme", &limits).await.allowed);
        }
    }
}

/// A Redis that lost its memory lets one more burst through: as it was killed, so it is stated.
#[tokio::test]
async fn a_redis_that_comes_back_empty_gives_one_burst_more() {
    let (mut proxy, prefix) = (Proxy::start(Mode::Passes).await, prefix());
    let replica = replica(limiter(&proxy.url(), &prefix), 1, Duration::ZERO);
    let limits = [hourly("k", 5)];
    let mut allowed = 0;
    for round in 0..3 {
        for _ in 0..20 {
            allowed += u32::from(check(&replica, "acme", &limits).await.allowed);
        }
        match round {
            0 => proxy.kill().await,
            1 => {
                let () = admin().await.del(format!("{prefix}:limit:{{acme}}:k")).await.unwrap();
                proxy.restart().await;
                comes_back(&replica).await;
            }
            _ => {}
        }
    }
    assert_eq!(allowed, 15, "Redis, this process, Redis anew");
}

#[tokio::test]
async fn a_slow_redis_costs_its_timeout_once_and_then_nothing() {
    let proxy = Proxy::start(Mode::Hangs).await;
    let slow = limiter_with(&proxy.url(), &prefix(), SHORT);
    let clock = ManualClock::new(Timestamp::from_micros(42));
    let config = FallbackConfig { probe_every: Duration::from_secs(3600), ..FallbackConfig::default() };
    let replica = FallbackLimiter::new(Arc::new(slow), GcraLimiter::default(), config, Arc::new(clock));
    let before = Instant::now();
    assert!(check(&replica, "acme", &[hourly("k", 1000)]).await.allowed);
    let first = before.elapsed();
    assert!(first >= SHORT && first < Duration::from_secs(10), "the first took {first:?}");
    assert_eq!(replica.health(), LimiterHealth::Degraded { since: Timestamp::from_micros(42) });
    let received = proxy.received();
    for _ in 0..500 {
        check(&replica, "acme", &[hourly("k", 1000)]).await;
    }
    assert_eq!(proxy.received(), received, "Redis was asked again");
    assert_eq!(check(&replica, "acme", &[hourly("k", 1000)]).await.remaining, 498);
}

/// The other end vanished without a word: its connection will never answer, a new one would.
#[tokio::test]
async fn a_connection_that_hangs_for_good_is_given_up() {
    let proxy = Proxy::start(Mode::Hangs).await;
    let limiter = limiter_with(&proxy.url(), &prefix(), SHORT);
    let error = limiter.check(&scope("acme"), &[hourly("k", 9)], ONE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    proxy.set(Mode::Passes);
    eventually("the limiter holds on to a dead connection", || async {
        Ok(limiter.check(&scope("acme"), &[hourly("k", 9)], ONE).await.is_ok())
    })
    .await
    .unwrap_or_else(|failure| unreachable!("{failure}"));
}

#[tokio::test]
async fn a_redis_that_lies_is_not_believed() {
    let proxy = Proxy::start(Mode::Lies).await;
    let liar = limiter(&proxy.url(), &prefix());
    let error = liar.check(&scope("acme"), &[hourly("k", 1)], ONE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream, "{}", error.report());
    let replica = replica(liar, 1, Duration::ZERO);
    assert!(check(&replica, "acme", &[hourly("k", 1)]).await.allowed);
    for _ in 0..10 {
        assert!(!check(&replica, "acme", &[hourly("k", 1)]).await.allowed, "it was believed");
    }
    assert!(matches!(replica.health(), LimiterHealth::Degraded { .. }));
}
