//! What the limiter does while Redis is well.

use futures_util::future::join_all;
use mcp_core::{ErrorKind, conformance::eventually};
use mcp_tenancy::{
    conformance::{self, RATE_LIMITER},
    limit::GcraLimiter,
};
use proptest::prelude::*;
use redis::AsyncCommands as _;

use super::*;

#[tokio::test]
async fn redis_limiter() {
    let report = conformance::run(RATE_LIMITER, async || Arc::new(fresh().0) as Arc<dyn RateLimiter>).await;
    assert_eq!(report.failures(), None);
}

async fn keys(prefix: &str) -> Vec<String> {
    let mut found: Vec<String> = admin().await.keys(format!("{prefix}:*")).await.unwrap();
    found.sort();
    found
}

#[tokio::test]
async fn replicas_that_share_it_allow_each_limit_once() {
    let (one, prefix) = fresh();
    let two = limiter(&url(), &prefix);
    let limits = [hourly("tenant", 30), hourly("principal/p", 20)];
    let asked = (0..100).map(|n| check(if n % 2 == 0 { &one } else { &two }, "acme", &limits));
    let allowed = join_all(asked).await.into_iter().filter(|decision| decision.allowed).count();
    assert_eq!(allowed, 20);
    assert_eq!(check(&two, "acme", &limits[..1]).await.remaining, 9, "refused calls used something up");
}

/// Keys written to look like another tenant's, too.
#[tokio::test]
async fn equal_keys_of_two_tenants_never_meet() {
    let (limiter, prefix) = fresh();
    for key in ["tenant", "}:tenant", "{beta}:tenant", "beta}:tenant", "", "\r\n$1\r\nx", "\u{0}"] {
        for tenant in ["acme", "beta"] {
            assert!(check(&limiter, tenant, &[hourly(key, 1)]).await.allowed, "{key:?} of {tenant}");
            assert!(!check(&limiter, tenant, &[hourly(key, 1)]).await.allowed, "{key:?} of {tenant}");
        }
        let above = limiter.check_platform(&operator(), &[hourly(key, 1)], ONE).await.unwrap().unwrap();
        assert!(above.allowed, "{key:?} above tenants");
    }
    for key in keys(&prefix).await {
        let tag = key.strip_prefix(&format!("{prefix}:limit:{{")).and_then(|rest| rest.split_once('}'));
        let (tag, rest) = tag.unwrap();
        assert!(["acme", "beta", "platform"].contains(&tag) && rest.starts_with(':'), "{key:?}");
    }
    assert_eq!(keys(&prefix).await.len(), 7 * 3);
}

/// Memory is bounded by time: a key is gone when its limit is whole again.
#[tokio::test]
async fn keys_expire_when_their_limit_is_whole_again() {
    let (limiter, prefix) = fresh();
    let short = |n: u32| Limit { per: Duration::from_millis(20), ..hourly(&format!("k{n}"), 1) };
    for n in 0..50 {
        check(&limiter, "acme", &[short(n)]).await;
    }
    check(&limiter, "acme", &[hourly("slow", 2)]).await;
    let left: i64 = admin().await.pttl(format!("{prefix}:limit:{{acme}}:slow")).await.unwrap();
    assert!((1_700_000..=1_800_000).contains(&left), "{left} ms until half of an hour's limit is whole");
    eventually("idle keys are kept", || async { Ok(keys(&prefix).await.len() == 1) })
        .await
        .unwrap_or_else(|failure| unreachable!("{failure}"));
}

#[tokio::test]
async fn a_refused_call_leaves_no_key() {
    let (limiter, prefix) = fresh();
    check(&limiter, "acme", &[hourly("narrow", 1)]).await;
    for n in 0..50 {
        let limits = [hourly("narrow", 1), hourly(&format!("k{n}"), 9)];
        assert!(!check(&limiter, "acme", &limits).await.allowed);
    }
    assert_eq!(keys(&prefix).await.len(), 1);
}

#[tokio::test]
async fn a_script_that_redis_forgot_is_loaded_again() {
    let (limiter, _) = fresh();
    for _ in 0..3 {
        let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut admin().await).await.unwrap();
        check(&limiter, "acme", &[hourly("k", 10)]).await;
    }
    assert_eq!(check(&limiter, "acme", &[hourly("k", 10)]).await.remaining, 6);
}

/// What a clock that jumped back would leave, or a limit that was larger: at most one whole wait.
#[tokio::test]
async fn a_cell_from_the_future_waits_no_longer_than_its_limit() {
    let (limiter, prefix) = fresh();
    for cell in ["9007199254740991", "1e300", "inf", "4000000000000000"] {
        let () = admin().await.set(format!("{prefix}:limit:{{acme}}:k"), cell).await.unwrap();
        let decision = check(&limiter, "acme", &[hourly("k", 2)]).await;
        assert!(!decision.allowed && decision.remaining == 0, "{cell}");
        assert_eq!(decision.retry_after, Duration::from_secs(1800), "{cell}");
    }
    for cell in ["-inf", "-1", "0", "12"] {
        let () = admin().await.set(format!("{prefix}:limit:{{acme}}:k"), cell).await.unwrap();
        assert!(check(&limiter, "acme", &[hourly("k", 2)]).await.allowed, "{cell}");
    }
}

#[tokio::test]
async fn a_cell_that_holds_no_number_is_an_error_and_no_pass() {
    let (limiter, prefix) = fresh();
    for cell in ["", "x", "nan", "1 2"] {
        let () = admin().await.set(format!("{prefix}:limit:{{acme}}:k"), cell).await.unwrap();
        let error = limiter.check(&scope("acme"), &[hourly("k", 2)], ONE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Upstream, "{cell:?}");
    }
}

#[tokio::test]
async fn limits_beyond_what_doubles_hold_are_refused_and_those_within_are_exact() {
    let (limiter, _) = fresh();
    let years = |years: u64| Limit { per: Duration::from_secs(years * 31_557_600), ..hourly("k", 1) };
    for bad in [
        years(72),
        Limit { per: Duration::MAX, ..hourly("k", 1) },
        Limit { burst: NonZeroU32::MAX, ..hourly("k", 1) },
    ] {
        let error = limiter.check(&scope("acme"), std::slice::from_ref(&bad), ONE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    assert!(check(&limiter, "acme", &[years(71)]).await.allowed);
    let refused = check(&limiter, "acme", &[years(71)]).await;
    let waited = years(71).per - refused.retry_after;
    assert!(!refused.allowed && waited < Duration::from_secs(60), "{refused:?}");
}

#[derive(Debug, Clone)]
struct Call {
    tenant: &'static str,
    which: Vec<usize>,
    cost: u32,
}

fn call() -> impl Strategy<Value = Call> {
    let which = prop::collection::btree_set(0_usize..4, 1..4).prop_map(|set| set.into_iter().collect());
    let tenant = prop_oneof![Just("acme"), Just("beta")];
    (tenant, which, 1_u32..5).prop_map(|(tenant, which, cost)| Call { tenant, which, cost })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Call by call it decides as the limiter in process does, figures included. The limits are of hours, so
    /// that what passes meanwhile changes no figure but the waits, and these by little.
    #[test]
    fn decides_as_the_limiter_in_process(calls in prop::collection::vec(call(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((ours, _), model) = (fresh(), GcraLimiter::default());
            let limits = [3, 7, 20, 60].map(|count| hourly(&format!("k{count}"), count));
            for Call { tenant, which, cost } in calls {
                let asked: Vec<_> = which.iter().map(|n| limits[*n].clone()).collect();
                let cost = NonZeroU32::new(cost).unwrap();
                let got = ours.check(&scope(tenant), &asked, cost).await.unwrap().unwrap();
                let expected = model.check(&scope(tenant), &asked, cost).await.unwrap().unwrap();
                let figures = |decision: Decision| (decision.allowed, decision.index, decision.limit, decision.remaining);
                prop_assert_eq!(figures(got), figures(expected), "{:?}, cost {}", asked, cost);
                let (wait, expected_wait) = (got.retry_after, expected.retry_after);
                prop_assert!(wait.abs_diff(expected_wait) < Duration::from_secs(30), "{:?} {:?}", wait, expected_wait);
                prop_assert!(got.reset.abs_diff(expected.reset) < Duration::from_secs(30));
            }
            Ok(())
        })?;
    }
}
