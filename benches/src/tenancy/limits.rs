//! The limiter in Redis, beside its script called with `redis` alone.

use std::{num::NonZeroU32, time::Duration};

use mcp_core::{
    key::Secret,
    limit::{Limit, RateLimiter},
};
use mcp_tenancy::limit::{RedisConfig, RedisLimiter};
use redis::{Script, aio::ConnectionManager};

use super::{NAME, scope, timed::in_turn};
use crate::{Failure, measure, row::Row};

const SCRIPT: &str = include_str!("../../../mcp-tenancy/src/limit/redis.lua");
/// Callers at once, over one connection.
const CALLERS: [usize; 2] = [1, 32];
/// Keys of the limits that each call asks about.
const KEYS: [&str; 3] = ["tenant", "principal/bench", "route/* /mcp"];
/// So many that no call is refused.
const PLENTY: NonZeroU32 = NonZeroU32::new(60_000_000).unwrap();

/// Runs every case; `url` is the server's.
///
/// # Errors
/// When the server is away, or a call is refused.
pub(super) async fn run(span: Duration, url: &str) -> Result<Vec<Row>, Failure> {
    let prefix = format!("bench{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let config = RedisConfig { prefix: prefix.clone(), ..RedisConfig::new(Secret::new(url.to_owned())) };
    let (limiter, scope) = (RedisLimiter::new(config)?, scope(&[])?);
    let limits = KEYS.map(|key| Limit::per_minute(key.into(), PLENTY));
    let bare = Bare::connect(url, &prefix).await?;
    let mut rows = Vec::new();
    for callers in CALLERS {
        // Long enough that starting and ending does not count.
        let round = span / 8;
        let ours = async || {
            let check = async |_: &mut ()| {
                let decision = limiter.check(&scope, &limits, NonZeroU32::MIN).await?;
                if decision.is_some_and(|decision| decision.allowed) { Ok(()) } else { Err("limited".into()) }
            };
            Ok(measure::closed_loop(vec![(); callers], round, check).await?.per_second())
        };
        let reference = async || {
            let workers = vec![bare.manager.clone(); callers];
            let call = async |manager: &mut ConnectionManager| bare.call(manager).await;
            Ok(measure::closed_loop(workers, round, call).await?.per_second())
        };
        let [ours, reference] = in_turn(span * 2, ours, reference).await?;
        rows.push(Row::more(NAME, format!("Redis limiter {callers} callers"), "1/s", ours, reference));
    }
    Ok(rows)
}

/// The script, called as its author would.
struct Bare {
    manager: ConnectionManager,
    script: Script,
    keys: [String; 3],
}

impl Bare {
    async fn connect(url: &str, prefix: &str) -> Result<Self, Failure> {
        let manager = redis::Client::open(url)?.get_connection_manager().await?;
        let keys = KEYS.map(|key| format!("{prefix}:limit:{{bare}}:{key}"));
        Ok(Self { manager, script: Script::new(SCRIPT), keys })
    }

    async fn call(&self, manager: &mut ConnectionManager) -> Result<(), Failure> {
        let mut call = self.script.prepare_invoke();
        call.arg(1);
        for key in &self.keys {
            // A microsecond, and the burst.
            call.key(key).arg(1).arg(PLENTY.get());
        }
        let answer: Vec<i64> = call.invoke_async(manager).await?;
        if answer.first() == Some(&1) { Ok(()) } else { Err(format!("limited: {answer:?}").into()) }
    }
}
