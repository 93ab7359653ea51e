//! The limiter in Redis: the suite, what only Redis can show, and Redis away, slow and lying.
//!
//! They need a server: `cargo xtask test` starts one and sets `REDIS_URL`. Without it they fail.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are not test functions")]

mod faults;
mod limiter;
mod proxy;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use mcp_core::{
    PlatformScope, Scope,
    key::Secret,
    limit::{Decision, Limit, RateLimiter},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::limit::{RedisConfig, RedisLimiter};
use redis::aio::MultiplexedConnection;

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn url() -> String {
    std::env::var("REDIS_URL").expect(
        "REDIS_URL is not set: `cargo xtask test` starts a server and sets it; or set it to redis://host",
    )
}

/// A limiter on the server, with keys that no other test has.
fn fresh() -> (RedisLimiter, String) {
    let prefix = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
    (limiter(&url(), &prefix), prefix)
}

fn limiter(url: &str, prefix: &str) -> RedisLimiter {
    // Long, for machines that are busy; tests of slowness set their own.
    limiter_with(url, prefix, Duration::from_secs(10))
}

fn limiter_with(url: &str, prefix: &str, timeout: Duration) -> RedisLimiter {
    let config =
        RedisConfig { prefix: prefix.to_owned(), timeout, ..RedisConfig::new(Secret::new(url.to_owned())) };
    RedisLimiter::new(config).unwrap()
}

async fn admin() -> MultiplexedConnection {
    redis::Client::open(url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

fn scope(tenant: &str) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("p").unwrap(),
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
}

fn operator() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

fn hourly(key: &str, count: u32) -> Limit {
    let count = NonZeroU32::new(count).unwrap();
    Limit { key: key.to_owned().into(), count, per: Duration::from_secs(3600), burst: count }
}

async fn check(limiter: &dyn RateLimiter, tenant: &str, limits: &[Limit]) -> Decision {
    limiter.check(&scope(tenant), limits, ONE).await.unwrap().unwrap()
}
