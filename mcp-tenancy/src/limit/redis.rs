//! The limiter in Redis: one for all replicas.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    key::Secret,
    limit::{Decision, Limit, RateLimiter},
};
use redis::{
    Client, Cmd, RedisError, RedisResult, Script, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::cell::{Rate, strictest};

/// Longest a limit may take from used up to whole again, in microseconds (71 years): so that every number
/// in the script stays below 2^53.
const MAX_SPAN: u64 = 1 << 51;
/// What decides.
const SCRIPT: &str = include_str!("redis.lua");
/// The hash tag of what works above tenants; no tenant can have this id.
const PLATFORM: &str = "platform";

/// Where the limiter's Redis is.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`.
    pub url: Secret<String>,
    /// Begins every key, so that several platforms can share one Redis: at most 32 characters of
    /// `[A-Za-z0-9_.:-]`. Default `mcp`.
    pub prefix: String,
    /// Longest a check may take, connecting included. Default 250 ms.
    pub timeout: Duration,
}

impl RedisConfig {
    /// The Redis at `url`, with every default.
    #[must_use]
    pub fn new(url: Secret<String>) -> Self {
        Self { url, prefix: "mcp".to_owned(), timeout: Duration::from_millis(250) }
    }
}

/// A [`RateLimiter`] in Redis (5 or newer), by GCRA: replicas that share it allow each limit once.
///
/// A check is one script, so it is all or nothing and exact however many ask at once. Time is Redis's own.
/// All keys of a tenant carry the hash tag `{tenant}`, so they lie on one node of a cluster. A key expires
/// when its limit is whole again; as a call writes only where all its limits allow, the keys of a tenant
/// are at most as many as the calls that its strictest limit lets through in that time.
///
/// Intervals are rounded up to whole microseconds, so a limit of 10,000 a second may allow up to 1 % less,
/// never more. A limit that takes longer than 71 years to be whole again is refused.
///
/// If Redis does not answer in time, or not what the script can answer, the check fails. Put it into a
/// [`FallbackLimiter`](super::FallbackLimiter) to go on then.
pub struct RedisLimiter {
    client: Client,
    prefix: String,
    timeout: Duration,
    /// Names the script.
    hash: String,
    connection: Mutex<Connection>,
}

/// The connection, and how many were given up before it.
struct Connection {
    manager: ConnectionManager,
    number: u64,
}

impl RedisLimiter {
    /// A limiter that connects when it is first asked.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a malformed URL or prefix, and for `rediss://`.
    pub fn new(config: RedisConfig) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        if config.prefix.len() > 32 || !config.prefix.bytes().all(ok) {
            let message = "`prefix` may have at most 32 characters of A-Z, a-z, 0-9, '_', '.', ':' and '-'";
            return Err(Error::invalid_input("limit.redis", message));
        }
        let client = Client::open(config.url.expose().as_str()).map_err(|_| bad_url())?;
        let connection = Mutex::new(Connection { manager: connect(&client, config.timeout)?, number: 0 });
        let hash = Script::new(SCRIPT).get_hash().to_owned();
        Ok(Self { client, prefix: config.prefix, timeout: config.timeout, hash, connection })
    }

    async fn decide(&self, tag: &str, limits: &[Limit], cost: NonZeroU32) -> Result<Option<Decision>> {
        Limit::check(limits)?;
        if limits.is_empty() {
            return Ok(None);
        }
        let rates: Vec<_> = limits.iter().map(Rate::in_micros).collect();
        let (mut keys, mut figures) = (Vec::with_capacity(limits.len()), vec![cost.get().into()]);
        for (limit, rate) in limits.iter().zip(&rates) {
            let (interval, burst) = rate.micros_and_burst();
            if interval.checked_mul(burst).is_none_or(|span| span > MAX_SPAN) {
                return Err(Error::invalid_input(
                    "limit.check",
                    "a limit must be whole again within 71 years; shorten its period or lower its burst",
                ));
            }
            keys.push(format!("{}:limit:{{{tag}}}:{}", self.prefix, limit.key));
            figures.extend([interval, burst]);
        }
        let (mut manager, number) = self.connection();
        match tokio::time::timeout(self.timeout, self.ask(&mut manager, &keys, &figures)).await {
            Ok(answer) => read(&rates, cost, &answer.map_err(fault)?).map(Some),
            Err(_) => {
                self.give_up(number);
                Err(Error::unavailable("limit.check", "Redis did not answer in time"))
            }
        }
    }

    /// Runs the script, sending its text only where Redis does not know it. The text runs at once, so that
    /// nobody can make Redis forget it in between.
    async fn ask(
        &self,
        manager: &mut ConnectionManager,
        keys: &[String],
        figures: &[u64],
    ) -> RedisResult<Vec<i64>> {
        let call = |verb: &str, script: &str| {
            let mut call = Cmd::new();
            call.arg(verb).arg(script).arg(keys.len()).arg(keys).arg(figures);
            call
        };
        match call("EVALSHA", &self.hash).query_async(manager).await {
            Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", SCRIPT).query_async(manager).await
            }
            answered => answered,
        }
    }

    fn connection(&self) -> (ConnectionManager, u64) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        (connection.manager.clone(), connection.number)
    }

    /// Takes a new connection for the next check: one that does not answer may never do so again, as when
    /// its other end has vanished without a word.
    fn give_up(&self, number: u64) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.number == number
            && let Ok(manager) = connect(&self.client, self.timeout)
        {
            *connection = Connection { manager, number: number + 1 };
        }
    }
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    async fn check(&self, scope: &Scope, limits: &[Limit], cost: NonZeroU32) -> Result<Option<Decision>> {
        self.decide(scope.tenant().as_str(), limits, cost).await
    }

    async fn check_platform(
        &self,
        _: &PlatformScope,
        limits: &[Limit],
        cost: NonZeroU32,
    ) -> Result<Option<Decision>> {
        self.decide(PLATFORM, limits, cost).await
    }
}

/// A connection that is made when it is first used.
fn connect(client: &Client, timeout: Duration) -> Result<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(|_| bad_url())
}

/// The decision, from how far each cell was ahead: the script's own arithmetic again, so that an answer the
/// script cannot have given is found out.
fn read(rates: &[Rate], cost: NonZeroU32, answer: &[i64]) -> Result<Decision> {
    let lie = || Error::upstream("limit.check", "Redis gave an answer that the limiter's script cannot give");
    let (allowed, ahead) = answer.split_first().ok_or_else(lie)?;
    if ahead.len() != rates.len() {
        return Err(lie());
    }
    let mut decisions = Vec::with_capacity(rates.len());
    for (rate, ahead) in rates.iter().zip(ahead) {
        let (interval, burst) = rate.micros_and_burst();
        let ahead = u64::try_from(*ahead).ok().filter(|ahead| *ahead <= interval.saturating_mul(burst));
        let nanos = ahead.and_then(|ahead| ahead.checked_mul(1000)).ok_or_else(lie)?;
        decisions.push(rate.decide(nanos, 0, cost.get()).0);
    }
    let decision = strictest(decisions.into_iter()).ok_or_else(lie)?;
    if i64::from(decision.allowed) == *allowed { Ok(decision) } else { Err(lie()) }
}

/// What Redis says, mapped to the one error: here and nowhere else.
fn fault(error: RedisError) -> Error {
    let away = error.is_io_error() || error.is_timeout() || error.is_connection_dropped();
    let (kind, message) = match away {
        true => (ErrorKind::Unavailable, "Redis cannot be reached"),
        false => (ErrorKind::Upstream, "Redis refused the limiter's script"),
    };
    Error::new(kind, "limit.check", message).with_source(error)
}

/// The URL is not repeated, as it may hold a password.
fn bad_url() -> Error {
    Error::invalid_input(
        "limit.redis",
        "the URL of Redis must be redis://[user:password@]host[:port][/database]",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn rate(count: u32) -> Rate {
        Rate::in_micros(&Limit::tenant(NonZeroU32::new(count).unwrap()))
    }

    #[test]
    fn an_answer_the_script_cannot_give_is_found_out() {
        let rates = [rate(60), rate(2)];
        let (second, half_minute) = (1_000_000, 30_000_000);
        let decision = read(&rates, ONE, &[1, 5 * second, half_minute]).unwrap();
        assert_eq!((decision.allowed, decision.index, decision.remaining), (true, 1, 0));
        let decision = read(&rates, ONE, &[0, 5 * second, 2 * half_minute]).unwrap();
        assert_eq!((decision.allowed, decision.retry_after), (false, Duration::from_secs(30)));
        for lie in [
            &[][..],
            &[1],
            &[1, 0],
            &[1, 0, 0, 0],
            &[2, 0, 0],
            &[0, 0, 0],
            &[1, 0, 2 * half_minute],
            &[1, -1, 0],
            &[1, 61 * second, 0],
            &[1, i64::MAX, 0],
            &[1, i64::MIN, 0],
        ] {
            assert_eq!(read(&rates, ONE, lie).unwrap_err().kind(), ErrorKind::Upstream, "{lie:?}");
        }
    }

    #[tokio::test]
    async fn bad_settings_are_refused_and_no_password_is_shown() {
        for (url, prefix) in [
            ("not a url", "mcp"),
            ("http://host", "mcp"),
            ("rediss://:hunter2@host", "mcp"),
            ("redis://host", "{a}"),
            ("redis://host", "a b"),
        ] {
            let config =
                RedisConfig { prefix: prefix.to_owned(), ..RedisConfig::new(Secret::new(url.to_owned())) };
            let error = RedisLimiter::new(config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url} {prefix}");
            assert!(!error.report().contains("hunter2"));
        }
        let config = RedisConfig::new(Secret::new("redis://:hunter2@host".to_owned()));
        let shown = format!("{config:?} {:?}", RedisLimiter::new(config.clone()).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
