//! Which issuers there are, right now, without asking the database.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use mcp_core::{
    Error, PlatformScope, Result,
    clock::Clock,
    key::MasterKey,
    scope::{PrincipalId, TenantId},
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ForeignConfig,
    fetch::Fetch,
    health::{IssuerHealth, IssuerState},
    keys::Fetching,
    known::{CheckedBy, KnownIssuer},
};
use crate::{
    issuer::{IssuerId, IssuerStore, StoredIssuer, TokenCheck},
    tenant::{DirectoryConfig, MAX_PAGE},
};

/// Longest the store may take to answer one question of the directory.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// What an [`IssuerDirectory`] stands on.
#[derive(Debug, Clone)]
pub(crate) struct IssuerDeps {
    pub(crate) store: Arc<dyn IssuerStore>,
    pub(crate) master: MasterKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) directory: DirectoryConfig,
    pub(crate) config: ForeignConfig,
    /// Who joins what is begun here.
    pub(crate) tasks: TaskTracker,
    /// When it must end.
    pub(crate) shutdown: CancellationToken,
}

/// All issuers with their keys, in memory, kept fresh by asking the store for changes.
///
/// Promises:
/// - A change made elsewhere is seen within [`poll_interval`](DirectoryConfig::poll_interval) and the time the store
///   takes to answer; one made here at once. Tokens verified under the former declaration count no longer.
/// - When the store has not answered for [`hold`](DirectoryConfig::hold), no foreign token is good: every answer is
///   [`Unavailable`](mcp_core::ErrorKind::Unavailable), until it answers again.
/// - Keys of two issuers never mix, whatever they are called.
#[derive(Debug)]
pub struct IssuerDirectory {
    store: Arc<dyn IssuerStore>,
    master: MasterKey,
    scope: PlatformScope,
    directory: DirectoryConfig,
    with: Fetching,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    by_id: HashMap<IssuerId, Arc<KnownIssuer>>,
    by_url: HashMap<String, Vec<Arc<KnownIssuer>>>,
    /// Who is asked about tokens that do not say whose they are, for each tenant and for all.
    opaque: HashMap<Option<TenantId>, Arc<KnownIssuer>>,
    /// The revision of every issuer ever seen: a change is never undone by an older one.
    revisions: HashMap<IssuerId, i64>,
    /// All changes up to this one have been seen.
    revision: i64,
    /// When the store was asked the last question that it answered.
    fresh_at: Instant,
}

impl IssuerDirectory {
    /// A directory that has read every issuer. Nothing follows the store until [`run`](Self::run) is polled.
    pub(crate) async fn open(deps: IssuerDeps) -> Result<Arc<Self>> {
        let scope = PlatformScope::new(PrincipalId::parse("issuer-directory")?, "follow changes to issuers");
        let with = Fetching {
            fetch: Fetch::new(&deps.config)?,
            clock: deps.clock,
            config: deps.config,
            tasks: deps.tasks,
            shutdown: deps.shutdown,
        };
        let state = State {
            by_id: HashMap::new(),
            by_url: HashMap::new(),
            opaque: HashMap::new(),
            revisions: HashMap::new(),
            revision: 0,
            fresh_at: Instant::now(),
        };
        let directory = Self {
            store: deps.store,
            master: deps.master,
            scope,
            directory: deps.directory,
            with,
            state: RwLock::new(state),
        };
        directory.refresh().await?;
        Ok(Arc::new(directory))
    }

    /// Follows the store, and keeps the keys that are in use fresh, until `shutdown`. Its owner spawns and joins it.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.directory.poll_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let refreshed = shutdown.run_until_cancelled(self.refresh()).await;
            metrics::gauge!("mcp_issuer_directory_age_seconds").set(self.age().as_secs_f64());
            match refreshed {
                Some(Err(error)) => {
                    metrics::counter!("mcp_issuer_directory_errors_total").increment(1);
                    tracing::warn!(error = error.report(), "cannot read changes to issuers");
                }
                Some(Ok(())) => {}
                None => return,
            }
            self.keep_fresh();
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
                for stored in changes {
                    state.revision = state.revision.max(stored.issuer.revision);
                    self.apply(state, stored);
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

    /// How every issuer is doing, in the order of their ids.
    #[must_use]
    pub fn health(&self) -> Vec<IssuerHealth> {
        let known: Vec<_> = self.read(|state| state.by_id.values().cloned().collect());
        let mut health: Vec<_> = known.iter().map(|known| known.health()).collect();
        health.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        health
    }

    /// How long ago the store was asked the last question it answered: what readiness and metrics show.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.read(|state| state.fresh_at.elapsed())
    }

    /// Whether the directory still answers, the store being there or away for less than the hold. An issuer that is
    /// away makes its own tokens unusable, not the platform.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.age() <= self.directory.hold
    }

    /// The issuers with this URL, letter by letter.
    pub(super) fn with_url(&self, url: &str) -> Result<Vec<Arc<KnownIssuer>>> {
        self.ask(|state| state.by_url.get(url).cloned().unwrap_or_default())
    }

    /// Who is asked about opaque tokens for `tenant`: its own issuer, else the shared one.
    pub(super) fn opaque(&self, tenant: Option<&TenantId>) -> Result<Option<Arc<KnownIssuer>>> {
        self.ask(|state| {
            let own = tenant.and_then(|tenant| state.opaque.get(&Some(tenant.clone())));
            own.or_else(|| state.opaque.get(&None)).cloned()
        })
    }

    /// The machine's time, as it is injected, and the bounds.
    pub(super) const fn with(&self) -> &Fetching {
        &self.with
    }

    fn apply(&self, state: &mut State, stored: StoredIssuer) {
        let id = stored.issuer.id.clone();
        let newest = state.revisions.entry(id.clone()).or_default();
        if *newest >= stored.issuer.revision {
            return;
        }
        *newest = stored.issuer.revision;
        if let Some(former) = state.by_id.remove(&id) {
            former.replace();
            state.opaque.retain(|_, known| known.issuer.id != id);
            if let Some(others) = state.by_url.get_mut(&former.issuer.spec.url) {
                others.retain(|known| known.issuer.id != id);
                if others.is_empty() {
                    state.by_url.remove(&former.issuer.spec.url);
                }
            }
        }
        if stored.issuer.removed {
            return;
        }
        match KnownIssuer::new(stored, &self.master, &self.with) {
            Ok(known) => {
                let spec = &known.issuer.spec;
                if matches!(spec.check, TokenCheck::Introspection { .. }) {
                    state.opaque.insert(spec.tenant.clone(), known.clone());
                }
                state.by_url.entry(spec.url.clone()).or_default().push(known.clone());
                state.by_id.insert(id, known);
            }
            // Its tokens are refused, those of others are not.
            Err(error) => {
                tracing::error!(issuer = id.as_str(), error = error.report(), "an issuer cannot be used");
            }
        }
    }

    fn keep_fresh(&self) {
        let known: Vec<_> = self.read(|state| state.by_id.values().cloned().collect());
        let mut states: HashMap<&str, u32> = HashMap::new();
        for known in &known {
            if let CheckedBy::Keys(keys) = &known.checked_by {
                keys.keep_fresh();
            }
            *states.entry(known.health().state.as_str()).or_default() += 1;
        }
        for name in IssuerState::NAMES {
            let count = states.get(name).copied().unwrap_or_default();
            metrics::gauge!("mcp_issuers", "state" => name).set(f64::from(count));
        }
    }

    fn ask<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T> {
        self.read(|state| match state.fresh_at.elapsed() > self.directory.hold {
            true => Err(lost()),
            false => Ok(look(state)),
        })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn lost() -> Error {
    Error::unavailable(
        "auth.authenticate",
        "the platform cannot tell which issuers it trusts; try again later",
    )
}
