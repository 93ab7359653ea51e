//! The keys of one issuer: fetched once for all who ask, refreshed behind their backs, and never too old.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{HeaderMap, header::CACHE_CONTROL};
use mcp_core::{
    Error, Result,
    clock::{Clock, Timestamp},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ForeignConfig,
    fetch::{Endpoint, Fetch, broken},
    health::IssuerState,
    jwks::{KeySet, PinnedKey},
    metadata,
};
use crate::issuer::{KeySource, SigningAlgorithm};

/// What every issuer's keys are fetched with, and who waits for it at the end.
#[derive(Debug, Clone)]
pub(super) struct Fetching {
    pub(super) fetch: Fetch,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: ForeignConfig,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

/// The keys of one issuer.
///
/// Keys that are fresh are used as they are. Keys that are not, but not too old either, are used too, and one
/// refresh begins. Without keys, or with keys that are too old, whoever asks waits for the refresh.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: Endpoint,
    source: KeySource,
    with: Fetching,
    state: RwLock<State>,
    /// How many refreshes have ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    loaded: Option<Loaded>,
    tried_at: Option<Timestamp>,
    in_flight: bool,
    failing: Option<Failing>,
    used_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Loaded {
    set: Arc<KeySet>,
    /// When they were asked for, not when they came: a slow answer is already old.
    asked_at: Timestamp,
    fresh_for: Duration,
}

#[derive(Debug)]
struct Failing {
    since: Timestamp,
    reason: String,
}

impl Keys {
    pub(super) fn new(issuer: Endpoint, source: KeySource, with: Fetching) -> Arc<Self> {
        Arc::new(Self { issuer, source, with, state: RwLock::default(), ended: watch::Sender::default() })
    }

    /// The key `kid` for `algorithm`, if the issuer has it. An unknown one asks the issuer again, at a bounded rate.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    ///
    /// # Cancellation
    /// A refresh that was begun goes on.
    pub(super) async fn find(
        self: &Arc<Self>,
        kid: &str,
        algorithm: SigningAlgorithm,
    ) -> Result<Option<Arc<PinnedKey>>> {
        let config = &self.with.config;
        let pause = match self.usable() {
            Some(set) => {
                if let Some(key) = set.find(kid, algorithm) {
                    return Ok(Some(key));
                }
                config.unknown_kid_every
            }
            None => config.retry_after,
        };
        if let Some(mut ended) = self.refresh(pause) {
            // The sender lives as long as `self`; a refresh ends within the time for its exchanges.
            let _ = ended.changed().await;
        }
        let found = self.usable().map(|set| set.find(kid, algorithm));
        match found {
            Some(Some(key)) => Ok(Some(key)),
            // An issuer that cannot be asked may have that key by now.
            Some(None) if !self.read(|state| state.failing.is_some()) => Ok(None),
            _ => Err(self.unavailable()),
        }
    }

    /// Whether there are keys that are young enough; begins a refresh where they are not fresh.
    pub(super) fn hold(self: &Arc<Self>) -> bool {
        self.usable().is_some()
    }

    /// Refreshes keys that are in use and no longer fresh, so that a removed key goes without anybody asking for it.
    pub(super) fn keep_fresh(self: &Arc<Self>) {
        let now = self.with.clock.now();
        let in_use = |at: Timestamp| now.since(at) <= self.with.config.keys_stale_for;
        if self.read(|state| state.used_at.is_some_and(in_use) && !state.is_fresh(now)) {
            let _ = self.refresh(self.with.config.retry_after);
        }
    }

    /// What readiness and metrics show: the state, how many keys there are, how old they are, what is wrong.
    pub(super) fn health(&self) -> (IssuerState, usize, Option<Duration>, Option<String>) {
        let now = self.with.clock.now();
        self.read(|state| {
            let keys = state.loaded.as_ref().map_or(0, |loaded| loaded.set.len());
            let age = state.loaded.as_ref().map(|loaded| now.since(loaded.asked_at));
            let holds = age.is_some_and(|age| age <= self.with.config.keys_stale_for);
            let is = match (&state.failing, &state.loaded) {
                (None, None) => IssuerState::Unused,
                (Some(failing), _) if !holds => IssuerState::Unreachable { since: failing.since },
                (Some(failing), _) => IssuerState::Stale { since: failing.since },
                (None, Some(_)) if !holds => IssuerState::Unused,
                (None, Some(_)) => IssuerState::Fresh,
            };
            (is, keys, age, state.failing.as_ref().map(|failing| failing.reason.clone()))
        })
    }

    fn usable(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let now = self.with.clock.now();
        // Written at most once a second, so that requests do not take turns at the lock.
        if self.read(|state| state.used_at.is_none_or(|at| now.since(at) >= Duration::from_secs(1))) {
            self.write(|state| state.used_at = Some(now));
        }
        let (set, fresh) = self.read(|state| {
            let young = |loaded: &&Loaded| now.since(loaded.asked_at) <= self.with.config.keys_stale_for;
            let set = state.loaded.as_ref().filter(young).map(|loaded| loaded.set.clone());
            (set, state.is_fresh(now))
        });
        if set.is_some() && !fresh {
            let _ = self.refresh(self.with.config.retry_after);
        }
        set
    }

    /// Begins a refresh, unless the last one began less than `pause` ago; tells of the end of the one that runs, if
    /// one does.
    fn refresh(self: &Arc<Self>, pause: Duration) -> Option<watch::Receiver<u64>> {
        // Subscribed before looking, so that an end in between is seen.
        let ended = self.ended.subscribe();
        let now = self.with.clock.now();
        let begin = self.write(|state| {
            if state.in_flight {
                return Some(false);
            }
            if state.tried_at.is_some_and(|at| at <= now && now.since(at) < pause) {
                return None;
            }
            (state.in_flight, state.tried_at) = (true, Some(now));
            Some(true)
        })?;
        if begin {
            let running = Running(self.clone());
            let shutdown = self.with.shutdown.clone();
            self.with.tasks.spawn(async move {
                let _ = shutdown.run_until_cancelled(running.0.load()).await;
                drop(running);
            });
        }
        Some(ended)
    }

    async fn load(&self) {
        let asked_at = self.with.clock.now();
        let loaded = self.fetch().await;
        let outcome = if loaded.is_ok() { "ok" } else { "failed" };
        metrics::counter!("mcp_issuer_key_fetches_total", "outcome" => outcome).increment(1);
        if let Err(error) = &loaded {
            tracing::warn!(
                issuer = self.issuer.url,
                error = error.report(),
                "cannot fetch the keys of an issuer"
            );
        }
        self.write(|state| match loaded {
            Ok((set, fresh_for)) => {
                let set = set.replacing(state.loaded.as_ref().map(|former| &*former.set));
                state.loaded = Some(Loaded { set: Arc::new(set), asked_at, fresh_for });
                state.failing = None;
            }
            Err(error) => {
                let since = state.failing.as_ref().map_or(asked_at, |failing| failing.since);
                let reason = crate::auth::reason(&error).to_owned();
                state.failing = Some(Failing { since, reason });
            }
        });
    }

    async fn fetch(&self) -> Result<(KeySet, Duration)> {
        let endpoint = match &self.source {
            KeySource::JwksUri(url) => Endpoint { url: url.clone(), private: self.issuer.private },
            KeySource::Discovery => {
                let metadata = metadata::discover(&self.with.fetch, &self.issuer).await?;
                let uri = metadata.jwks_uri.ok_or_else(|| broken("its metadata has no `jwks_uri`"))?;
                Endpoint::discovered(&uri, &self.issuer)?
            }
        };
        let answer = self.with.fetch.get(&endpoint).await?;
        let (body, headers) = answer.ok_or_else(|| broken("there are no keys where they should be"))?;
        Ok((KeySet::parse(&body)?, fresh_for(&headers, &self.with.config)))
    }

    fn unavailable(&self) -> Error {
        let reason = self.read(|state| state.failing.as_ref().map(|failing| failing.reason.clone()));
        broken("its keys are not there, or too old")
            .with_context("issuer", &self.issuer.url)
            .with_context("last", reason.as_deref().unwrap_or("it is being asked"))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| now.since(loaded.asked_at) < loaded.fresh_for)
    }
}

/// A refresh that runs. However it ends, the next one may begin and whoever waits goes on.
struct Running(Arc<Keys>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.write(|state| state.in_flight = false);
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

/// How long keys that came with these headers hold.
fn fresh_for(headers: &HeaderMap, config: &ForeignConfig) -> Duration {
    let directives = || headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut fresh_for = config.keys_fresh_for;
    for directive in directives().flat_map(|value| value.split(',')).map(str::trim) {
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache") {
            return config.keys_fresh_at_least;
        }
        if let Some((name, age)) = directive.split_once('=')
            && name.eq_ignore_ascii_case("max-age")
            && let Ok(age) = age.trim_matches('"').parse()
        {
            fresh_for = Duration::from_secs(age);
        }
    }
    fresh_for.min(config.keys_fresh_for).max(config.keys_fresh_at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_as_long_as_the_issuer_says_within_bounds() {
        let config = ForeignConfig::default();
        for (value, seconds) in [
            ("max-age=60", 60),
            ("public, max-age=120, must-revalidate", 120),
            ("Max-Age=1", 30),
            ("max-age=86400", 300),
            ("max-age=x", 300),
            ("max-age=-1", 300),
            ("no-store", 30),
            ("max-age=200, no-cache", 30),
            ("", 300),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            assert_eq!(fresh_for(&headers, &config), Duration::from_secs(seconds), "{value}");
        }
        assert_eq!(fresh_for(&HeaderMap::new(), &config), Duration::from_secs(300));
    }
}
