//! How fast: the [`RateLimiter`](mcp_core::limit::RateLimiter)s, and which limits a request has.
//!
//! [`GcraLimiter`] works in process, and is right for one replica. `RedisLimiter` (feature `redis`) is one
//! for all replicas, and [`FallbackLimiter`] keeps them going while Redis is away, with an error it states.
//! A [`LimitPolicy`] says which limits beside the tenant's own a request has.

mod cell;
mod fallback;
mod memory;
mod policy;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "redis")]
pub use self::redis::{RedisConfig, RedisLimiter};
pub use fallback::{FallbackConfig, FallbackLimiter, LimiterHealth};
pub use memory::GcraLimiter;
pub use policy::{LimitPolicy, RouteLimit};
