//! The promises of [`RateLimiter`].

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::join_all;
use mcp_core::{
    Error, ErrorKind, PlatformScope, Scope,
    limit::{Limit, RateLimiter},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind},
};

use super::{Check, Outcome, ensure_eq, ensure_error, tenant_id};

type Limiter = Arc<dyn RateLimiter>;

/// The suite of [`RateLimiter`]. Its limits are of hours, so that it need not wait.
pub const RATE_LIMITER: &[Check<dyn RateLimiter>] = &[
    ("all_or_nothing", |limiter| Box::pin(all_or_nothing(limiter))),
    ("never_over", |limiter| Box::pin(never_over(limiter))),
    ("tenants_are_kept_apart", |limiter| Box::pin(tenants_are_kept_apart(limiter))),
    ("the_strictest_limit_speaks", |limiter| Box::pin(the_strictest_limit_speaks(limiter))),
    ("what_would_not_be_bounded_is_refused", |limiter| {
        Box::pin(what_would_not_be_bounded_is_refused(limiter))
    }),
];

fn scope(tenant: &str) -> Result<Scope, Error> {
    let principal = Principal {
        id: PrincipalId::parse("conformance")?,
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Ok(Scope::new(tenant_id(tenant)?, Arc::new(principal)))
}

fn hourly(key: &'static str, count: u32) -> Limit {
    let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    Limit { key: key.into(), count, per: Duration::from_secs(3600), burst: count }
}

async fn passes(limiter: &Limiter, scope: &Scope, limits: &[Limit]) -> Result<bool, Error> {
    let decision = limiter.check(scope, limits, NonZeroU32::MIN).await?;
    Ok(decision.is_none_or(|decision| decision.allowed))
}

async fn all_or_nothing(limiter: Limiter) -> Outcome {
    let scope = scope("acme")?;
    let (wide, narrow) = (hourly("wide", 5), hourly("narrow", 1));
    for (round, expected) in [true, false, false, false].into_iter().enumerate() {
        let both = passes(&limiter, &scope, &[wide.clone(), narrow.clone()]).await?;
        ensure_eq(both, expected, &format!("both limits, round {round}"))?;
    }
    for (round, expected) in [true, true, true, true, false].into_iter().enumerate() {
        let wide = passes(&limiter, &scope, std::slice::from_ref(&wide)).await?;
        ensure_eq(wide, expected, &format!("what was left of the wide limit, round {round}"))?;
    }
    Ok(())
}

async fn never_over(limiter: Limiter) -> Outcome {
    let scope = scope("acme")?;
    let limits = [hourly("k", 10)];
    let asked = join_all((0..50).map(|_| passes(&limiter, &scope, &limits))).await;
    let passed = asked.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().filter(|passed| *passed);
    ensure_eq(passed.count(), 10, "how many of 50 at once passed a limit of 10")
}

async fn tenants_are_kept_apart(limiter: Limiter) -> Outcome {
    let limits = [hourly("k", 1)];
    for tenant in ["acme", "beta"] {
        let scope = scope(tenant)?;
        ensure_eq(passes(&limiter, &scope, &limits).await?, true, &format!("the first call of {tenant}"))?;
        ensure_eq(passes(&limiter, &scope, &limits).await?, false, &format!("the second call of {tenant}"))?;
    }
    let platform = PlatformScope::new(PrincipalId::parse("conformance")?, "check a limiter");
    for (call, expected) in [("first", true), ("second", false)] {
        let decision = limiter.check_platform(&platform, &limits, NonZeroU32::MIN).await?;
        let allowed = decision.is_none_or(|decision| decision.allowed);
        ensure_eq(allowed, expected, &format!("the {call} call above tenants"))?;
    }
    Ok(())
}

async fn the_strictest_limit_speaks(limiter: Limiter) -> Outcome {
    let scope = scope("acme")?;
    ensure_eq(limiter.check(&scope, &[], NonZeroU32::MIN).await?, None, "the decision over no limits")?;
    let limits = [hourly("wide", 5), hourly("narrow", 2)];
    let decision = limiter.check(&scope, &limits, NonZeroU32::MIN).await?;
    let figures =
        decision.map(|decision| (decision.allowed, decision.limit, decision.remaining, decision.index));
    ensure_eq(figures, Some((true, 2, 1, 1)), "allowed, limit, remaining and whose they are")?;
    let large = limiter.check(&scope, &limits, NonZeroU32::MAX).await?;
    let figures = large.map(|decision| (decision.allowed, decision.retry_after));
    ensure_eq(figures, Some((false, Duration::MAX)), "a call larger than the burst")
}

async fn what_would_not_be_bounded_is_refused(limiter: Limiter) -> Outcome {
    let scope = scope("acme")?;
    let platform = PlatformScope::new(PrincipalId::parse("conformance")?, "check a limiter");
    let named = |name: String| Limit { key: name.into(), ..hourly("", 5) };
    let many = (0..=Limit::MAX_AT_ONCE).map(|n| named(n.to_string())).collect();
    let long = vec![named("x".repeat(Limit::MAX_KEY + 1))];
    for (what, limits) in [
        ("too many limits", many),
        ("too long a key", long),
        ("a key twice", vec![hourly("k", 5), hourly("k", 9)]),
    ] {
        let refused = limiter.check(&scope, &limits, NonZeroU32::MIN).await;
        ensure_error(refused, ErrorKind::InvalidInput, what)?;
        let refused = limiter.check_platform(&platform, &limits, NonZeroU32::MIN).await;
        ensure_error(refused, ErrorKind::InvalidInput, what)?;
    }
    let fits: Vec<_> =
        (0..Limit::MAX_AT_ONCE).map(|n| named(format!("{n:0>width$}", width = Limit::MAX_KEY))).collect();
    ensure_eq(passes(&limiter, &scope, &fits).await?, true, "as many limits with keys as long as may be")
}
