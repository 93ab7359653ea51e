//! What every use of a token asks: whether it was ended before its time, without asking the database.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use mcp_core::{
    Error, PlatformScope, Result,
    clock::{Clock, Timestamp},
    scope::{PrincipalId, TenantId},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Revocation, RevocationChange, RevocationStore};
use crate::{
    auth::{TokenFacts, refused},
    tenant::{DirectoryConfig, MAX_PAGE},
};

/// Longest the store may take to answer one question of the directory.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// How often what has expired is forgotten, and how much of it at a time.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
const PRUNED_AT_ONCE: u32 = 10_000;

/// Every revocation that counts, in memory, kept fresh by asking the store for changes and by what is revoked here.
///
/// Promises:
/// - A revocation made elsewhere is seen within [`poll_interval`](DirectoryConfig::poll_interval) and the time the
///   store takes to answer; one noted with [`note`](Self::note) at once.
/// - When the store has not answered for [`hold`](DirectoryConfig::hold), no token is good any more: every answer is
///   [`Unavailable`](mcp_core::ErrorKind::Unavailable), until it answers again.
#[derive(Debug)]
pub struct RevocationDirectory {
    store: Arc<dyn RevocationStore>,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    config: DirectoryConfig,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    tenants: HashMap<TenantId, Ended>,
    /// All changes up to this one have been seen.
    revision: i64,
    /// When the store was asked the last question that it answered.
    fresh_at: Instant,
}

/// What of a tenant was ended.
#[derive(Debug, Default)]
struct Ended {
    issued_until: Option<Timestamp>,
    /// By issuer, then by token id: until when.
    denied: HashMap<String, HashMap<String, Timestamp>>,
}

impl RevocationDirectory {
    /// A directory that has read every revocation. Nothing follows the store until [`run`](Self::run) is polled.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the store does not answer.
    pub async fn open(
        store: Arc<dyn RevocationStore>,
        clock: Arc<dyn Clock>,
        config: DirectoryConfig,
    ) -> Result<Arc<Self>> {
        let scope = PlatformScope::new(PrincipalId::parse("revocation-directory")?, "follow revocations");
        let state = State { tenants: HashMap::new(), revision: 0, fresh_at: Instant::now() };
        let directory = Self { store, clock, scope, config, state: RwLock::new(state) };
        directory.refresh().await?;
        Ok(Arc::new(directory))
    }

    /// Follows the store until `shutdown`, and forgets what has expired. Its owner spawns and joins it.
    ///
    /// # Cancellation
    /// May be dropped at any await; the directory then keeps its last state until the hold has passed.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.config.poll_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pruned_at = Instant::now();
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let refreshed = shutdown.run_until_cancelled(self.refresh()).await;
            metrics::gauge!("mcp_revocation_directory_age_seconds").set(self.age().as_secs_f64());
            match refreshed {
                Some(Err(error)) => {
                    metrics::counter!("mcp_revocation_directory_errors_total").increment(1);
                    tracing::warn!(error = error.report(), "cannot read revocations of tokens");
                }
                Some(Ok(())) if pruned_at.elapsed() >= PRUNE_EVERY => {
                    pruned_at = Instant::now();
                    if let Some(Err(error)) = shutdown.run_until_cancelled(self.prune()).await {
                        tracing::warn!(error = error.report(), "cannot forget expired revocations");
                    }
                }
                Some(Ok(())) => {}
                None => return,
            }
        }
    }

    /// Reads what has changed since the last time.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the store does not answer within two seconds.
    pub async fn refresh(&self) -> Result<()> {
        loop {
            let asked_at = Instant::now();
            let seen = self.read(|state| state.revision);
            let asked = self.store.changes_since(&self.scope, seen, MAX_PAGE);
            let changes = tokio::time::timeout(STORE_PATIENCE, asked).await.map_err(|_| lost())??;
            let complete = changes.len() < MAX_PAGE as usize;
            self.write(|state| {
                for change in changes {
                    state.revision = state.revision.max(change.revision);
                    state.apply(change.revocation);
                }
                if complete {
                    state.fresh_at = asked_at;
                }
            });
            if complete {
                return Ok(());
            }
        }
    }

    /// Takes over what this process just revoked, before the next poll would find it.
    pub fn note(&self, change: &RevocationChange) {
        // The cursor stays where it is: changes made elsewhere may lie between it and this one.
        self.write(|state| state.apply(change.revocation.clone()));
    }

    /// Forgets what has expired, here and in the store.
    ///
    /// # Errors
    /// As [`RevocationStore::prune`].
    pub async fn prune(&self) -> Result<()> {
        let now = self.clock.now();
        self.write(|state| state.forget(now));
        self.store.prune(&self.scope, PRUNED_AT_ONCE).await.map(drop)
    }

    /// How long ago the store was asked the last question it answered: what readiness and metrics show.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.read(|state| state.fresh_at.elapsed())
    }

    /// Whether the directory still answers, the store being there or away for less than the hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.age() <= self.config.hold
    }

    /// Refuses a token that was ended before its time.
    pub(crate) fn check(&self, token: &TokenFacts) -> Result<()> {
        self.read(|state| {
            if state.fresh_at.elapsed() > self.config.hold {
                return Err(lost());
            }
            let Some(ended) = state.tenants.get(&token.tenant) else { return Ok(()) };
            // Seconds are as fine as a token says it: one issued in the second of the epoch counts as before it.
            let before = |until: Timestamp| token.issued_at.is_none_or(|at| at <= until.as_secs());
            if ended.issued_until.is_some_and(before) {
                return Err(refused("the tenant's tokens were ended after it was issued"));
            }
            let denied = |id| ended.denied.get(&*token.issuer).is_some_and(|ids| ids.contains_key(id));
            match token.id.as_deref().is_some_and(denied) {
                true => Err(refused("the token is revoked")),
                false => Ok(()),
            }
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn apply(&mut self, revocation: Revocation) {
        match revocation {
            Revocation::Token(token) => {
                let ids = self.tenants.entry(token.tenant).or_default().denied.entry(token.issuer);
                let until = ids.or_default().entry(token.id).or_insert(token.expires_at);
                *until = token.expires_at.max(*until);
            }
            Revocation::All { tenant, issued_until } => {
                let ended = self.tenants.entry(tenant).or_default();
                ended.issued_until = ended.issued_until.max(Some(issued_until));
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        self.tenants.retain(|_, ended| {
            ended.denied.retain(|_, ids| {
                ids.retain(|_, until| *until > now);
                !ids.is_empty()
            });
            ended.issued_until.is_some() || !ended.denied.is_empty()
        });
    }
}

fn lost() -> Error {
    Error::unavailable(
        "auth.authenticate",
        "the platform cannot tell which tokens were revoked; try again later",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use mcp_core::{ErrorKind, clock::ManualClock};

    use super::*;
    use crate::revocation::{DeniedToken, MemoryRevocationStore};

    const NOW: i64 = 1_800_000_000;

    #[derive(Debug)]
    struct Flaky(MemoryRevocationStore, AtomicBool);

    #[async_trait]
    impl RevocationStore for Flaky {
        async fn deny(&self, scope: &PlatformScope, token: DeniedToken) -> Result<RevocationChange> {
            self.0.deny(scope, token).await
        }
        async fn end_all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<RevocationChange> {
            self.0.end_all(scope, tenant).await
        }
        async fn changes_since(
            &self,
            scope: &PlatformScope,
            revision: i64,
            limit: u32,
        ) -> Result<Vec<RevocationChange>> {
            if self.1.load(Ordering::SeqCst) {
                return Err(Error::unavailable("test", "away"));
            }
            self.0.changes_since(scope, revision, limit).await
        }
        async fn prune(&self, scope: &PlatformScope, limit: u32) -> Result<u64> {
            self.0.prune(scope, limit).await
        }
    }

    struct Running {
        store: Arc<Flaky>,
        directory: Arc<RevocationDirectory>,
        clock: ManualClock,
        scope: PlatformScope,
    }

    async fn running() -> Running {
        let clock = ManualClock::new(Timestamp::from_micros(NOW * 1_000_000));
        let memory = MemoryRevocationStore::new(Arc::new(clock.clone()));
        let store = Arc::new(Flaky(memory, AtomicBool::new(false)));
        let config = DirectoryConfig::default();
        let open = RevocationDirectory::open(store.clone(), Arc::new(clock.clone()), config);
        let directory = open.await.unwrap();
        let follower = directory.clone();
        tokio::spawn(async move { follower.run(CancellationToken::new()).await });
        let scope = PlatformScope::new(PrincipalId::parse("test").unwrap(), "test");
        Running { store, directory, clock, scope }
    }

    fn token(tenant: &str, issuer: &str, id: &str, issued_at: Option<i64>) -> TokenFacts {
        TokenFacts {
            tenant: TenantId::parse(tenant).unwrap(),
            issuer: issuer.into(),
            id: Some(id.into()),
            issued_at,
            not_before: None,
            expires_at: None,
        }
    }

    fn denied(tenant: &str, issuer: &str, id: &str) -> DeniedToken {
        let expires_at = Timestamp::from_micros((NOW + 60) * 1_000_000);
        DeniedToken {
            tenant: TenantId::parse(tenant).unwrap(),
            issuer: issuer.to_owned(),
            id: id.to_owned(),
            expires_at,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_made_elsewhere_is_seen_within_a_second_and_hits_one_token() {
        let Running { store, directory, scope, .. } = running().await;
        let one = token("acme", "https://a.example", "1", Some(NOW));
        directory.check(&one).unwrap();
        store.deny(&scope, denied("acme", "https://a.example", "1")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(directory.check(&one).unwrap_err().kind(), ErrorKind::Unauthenticated);
        for other in [
            token("acme", "https://a.example", "2", Some(NOW)),
            token("acme", "https://b.example", "1", Some(NOW)),
            token("beta", "https://a.example", "1", Some(NOW)),
            TokenFacts { id: None, ..one },
        ] {
            directory.check(&other).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_epoch_ends_what_was_issued_before_and_what_does_not_say_when() {
        let Running { store, directory, scope, .. } = running().await;
        let acme = TenantId::parse("acme").unwrap();
        directory.note(&store.end_all(&scope, &acme).await.unwrap());
        for issued_at in [None, Some(NOW - 1), Some(NOW)] {
            assert!(directory.check(&token("acme", "i", "1", issued_at)).is_err(), "{issued_at:?}");
        }
        directory.check(&token("acme", "i", "1", Some(NOW + 1))).unwrap();
        directory.check(&token("beta", "i", "1", None)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_state_holds_for_the_stated_time_and_then_every_token_is_refused() {
        let Running { store, directory, .. } = running().await;
        let one = token("acme", "i", "1", Some(NOW));
        store.1.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(29)).await;
        directory.check(&one).unwrap();
        assert!(directory.is_ready());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(directory.check(&one).unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(!directory.is_ready());
        store.1.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        directory.check(&one).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_is_forgotten_everywhere() {
        let Running { store, directory, clock, scope } = running().await;
        directory.note(&store.deny(&scope, denied("acme", "i", "1")).await.unwrap());
        clock.advance(Duration::from_secs(61));
        tokio::time::sleep(PRUNE_EVERY + Duration::from_secs(1)).await;
        assert!(directory.read(|state| state.tenants.is_empty()));
        assert!(store.0.changes_since(&scope, 0, 10).await.unwrap().is_empty());
    }
}
