//! What every request asks: which tenants there are, right now, without asking the database.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use mcp_core::{
    Error, PlatformScope, Result,
    scope::{PrincipalId, TenantId},
};
use moka::future::Cache;
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{MAX_PAGE, Regions, Tenant, TenantStatus, TenantStore};

mod refusal;

pub use refusal::Refusal;

/// Longest the store may take to answer one question of the directory.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// Ids remembered as unknown, and for how long: a flood of invented ids neither fills memory nor reaches the
/// store more than [`LOOKUPS`] at a time.
const UNKNOWN_IDS: u64 = 10_000;
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const LOOKUPS: usize = 4;

/// How the directory follows the store.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryConfig {
    /// Time between two questions to the store: how long a change made elsewhere takes to be seen here.
    /// Default 300 ms.
    pub poll_interval: Duration,
    /// How long the last known state holds while the store is away; after that every tenant is refused.
    /// Default 30 s.
    pub hold: Duration,
}

impl Default for DirectoryConfig {
    fn default() -> Self {
        Self { poll_interval: Duration::from_millis(300), hold: Duration::from_secs(30) }
    }
}

/// A tenant as the directory knows it.
#[derive(Debug)]
pub struct KnownTenant {
    tenant: Tenant,
    refusal: Option<Refusal>,
    closed: CancellationToken,
}

impl KnownTenant {
    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Whether calls for it may go on: it is active, so is its organisation, and its data lives here.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.refusal.is_none()
    }

    /// Why calls for it may not go on.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Cancelled when the tenant may no longer be used, for whatever holds something open on its behalf. A
    /// tenant that is resumed has a new token.
    #[must_use]
    pub const fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

/// All tenants, in memory, kept fresh by asking the store for changes and by what is changed here.
///
/// Promises:
/// - A change made elsewhere is seen within [`poll_interval`](DirectoryConfig::poll_interval) and the time
///   the store takes to answer; one noted with [`note`](Self::note) at once.
/// - A project is closed while its organisation is, and while that is not known.
/// - A tenant whose region is served elsewhere is closed.
/// - What was closed stays closed for those who hold its token; a change is never undone by an older one.
/// - When the store has not answered for [`hold`](DirectoryConfig::hold), every answer is
///   [`Unavailable`](mcp_core::ErrorKind::Unavailable) and every token is cancelled, until it answers again.
#[derive(Debug)]
pub struct TenantDirectory {
    store: Arc<dyn TenantStore>,
    scope: PlatformScope,
    config: DirectoryConfig,
    state: RwLock<State>,
    unknown: Cache<TenantId, ()>,
    lookups: Semaphore,
}

#[derive(Debug)]
struct State {
    tenants: HashMap<TenantId, Arc<KnownTenant>>,
    /// The projects of each organisation.
    projects: HashMap<TenantId, HashSet<TenantId>>,
    /// Which regions are served; all where it is not said.
    regions: Option<Regions>,
    /// All changes up to this one have been seen.
    revision: i64,
    /// When the store was asked the last question that it answered.
    fresh_at: Instant,
    /// Set once the hold has passed and the tokens are cancelled.
    lost: bool,
    suspended: watch::Sender<HashSet<TenantId>>,
}

impl TenantDirectory {
    /// A directory that has read every tenant. Nothing follows the store until [`run`](Self::run) is polled.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the store does not answer.
    pub async fn open(store: Arc<dyn TenantStore>, config: DirectoryConfig) -> Result<Arc<Self>> {
        Self::open_for(store, config, None).await
    }

    /// As [`open`](Self::open), but the tenants of other regions than `regions` are closed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_for(
        store: Arc<dyn TenantStore>,
        config: DirectoryConfig,
        regions: Option<Regions>,
    ) -> Result<Arc<Self>> {
        let scope = PlatformScope::new(PrincipalId::parse("tenant-directory")?, "follow changes to tenants");
        let state = State {
            tenants: HashMap::new(),
            projects: HashMap::new(),
            regions,
            revision: 0,
            fresh_at: Instant::now(),
            lost: false,
            suspended: watch::Sender::default(),
        };
        let directory = Self {
            store,
            scope,
            config,
            state: RwLock::new(state),
            unknown: Cache::builder().max_capacity(UNKNOWN_IDS).time_to_live(UNKNOWN_FOR).build(),
            lookups: Semaphore::new(LOOKUPS),
        };
        directory.refresh().await?;
        Ok(Arc::new(directory))
    }

    /// Follows the store until `shutdown`. Its owner spawns and joins it.
    ///
    /// # Cancellation
    /// May be dropped at any await; the directory then keeps its last state until the hold has passed.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.config.poll_interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let refreshed = shutdown.run_until_cancelled(self.refresh()).await;
            metrics::gauge!("mcp_tenant_directory_age_seconds").set(self.age().as_secs_f64());
            match refreshed {
                Some(Err(error)) => {
                    metrics::counter!("mcp_tenant_directory_errors_total").increment(1);
                    tracing::warn!(error = error.report(), "cannot read changes to tenants");
                    self.close_if_lost();
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
            let changes = tokio::time::timeout(STORE_PATIENCE, asked).await.map_err(|_| timed_out())??;
            let complete = changes.len() < MAX_PAGE as usize;
            let known = self.write(|state| {
                for tenant in changes {
                    state.revision = state.revision.max(tenant.revision);
                    state.apply(tenant);
                }
                if complete {
                    state.fresh_at = asked_at;
                    state.reopen();
                }
                state.tenants.len()
            });
            if complete {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a gauge is a float; 2^52 tenants are enough"
                )]
                metrics::gauge!("mcp_tenants").set(known as f64);
                return Ok(());
            }
        }
    }

    /// Takes over what this process just changed, before the next poll would find it.
    pub fn note(&self, tenant: &Tenant) {
        // The cursor stays where it is: changes made elsewhere may lie between it and this one.
        self.write(|state| state.apply(tenant.clone()));
    }

    /// The tenant, if the directory has seen it.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) after the hold has passed.
    pub fn get(&self, id: &TenantId) -> Result<Option<Arc<KnownTenant>>> {
        self.read(|state| {
            if state.lost || state.fresh_at.elapsed() > self.config.hold {
                return Err(lost());
            }
            Ok(state.tenants.get(id).cloned())
        })
    }

    /// The tenant; the store is asked about one the directory has not seen, as it may have been created a
    /// moment ago elsewhere. At most a few such questions run at a time; beyond them the answer is `None`.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    pub async fn resolve(&self, id: &TenantId) -> Result<Option<Arc<KnownTenant>>> {
        if let Some(known) = self.get(id)? {
            return Ok(Some(known));
        }
        if self.unknown.contains_key(id) {
            return Ok(None);
        }
        let Ok(_permit) = self.lookups.try_acquire() else { return Ok(None) };
        match self.ask(id).await? {
            Some(tenant) => {
                self.note(&tenant);
                if let Some(parent) = &tenant.parent
                    && self.get(parent)?.is_none()
                    && let Some(parent) = self.ask(parent).await?
                {
                    self.note(&parent);
                }
            }
            None => self.unknown.insert(id.clone(), ()).await,
        }
        self.get(id)
    }

    async fn ask(&self, id: &TenantId) -> Result<Option<Tenant>> {
        let asked = self.store.get(&self.scope, id);
        tokio::time::timeout(STORE_PATIENCE, asked).await.map_err(|_| timed_out())?
    }

    /// The tenants that may not be used, as far as the directory has seen; for whoever stops what works for them.
    /// The store being away for longer than the hold suspends nobody.
    #[must_use]
    pub fn suspended(&self) -> watch::Receiver<HashSet<TenantId>> {
        self.read(|state| state.suspended.subscribe())
    }

    /// How long ago the store was asked the last question it answered: what readiness and metrics show.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.read(|state| state.fresh_at.elapsed())
    }

    /// Whether the directory still answers, the store being there or away for less than the hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.read(|state| !state.lost && state.fresh_at.elapsed() <= self.config.hold)
    }

    fn close_if_lost(&self) {
        self.write(|state| {
            if !state.lost && state.fresh_at.elapsed() > self.config.hold {
                state.lost = true;
                state.tenants.values().for_each(|known| known.closed.cancel());
            }
        });
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn apply(&mut self, tenant: Tenant) {
        let known = self.tenants.get(&tenant.id);
        if known.is_some_and(|known| known.tenant.revision >= tenant.revision) {
            return;
        }
        if let Some(parent) = &tenant.parent {
            self.projects.entry(parent.clone()).or_default().insert(tenant.id.clone());
        }
        let projects = self.projects.get(&tenant.id).cloned().unwrap_or_default();
        self.place(tenant);
        for project in projects.iter().filter_map(|id| self.tenants.get(id).cloned()).collect::<Vec<_>>() {
            self.place(project.tenant.clone());
        }
    }

    /// Takes the tenant as it is now, and opens or closes it by what is known of it and its organisation.
    fn place(&mut self, tenant: Tenant) {
        let known = self.tenants.get(&tenant.id);
        let closed = known.map(|known| known.closed.clone()).unwrap_or_default();
        let refusal = self.refusal_of(&tenant);
        let closed = match refusal {
            None if closed.is_cancelled() && !self.lost => CancellationToken::new(),
            None => closed,
            Some(_) => {
                closed.cancel();
                closed
            }
        };
        self.suspended.send_if_modified(|suspended| match refusal {
            None => suspended.remove(&tenant.id),
            Some(_) => suspended.insert(tenant.id.clone()),
        });
        self.tenants.insert(tenant.id.clone(), Arc::new(KnownTenant { tenant, refusal, closed }));
    }

    fn refusal_of(&self, tenant: &Tenant) -> Option<Refusal> {
        match tenant.status {
            TenantStatus::Active => {}
            TenantStatus::Suspended => return Some(Refusal::Suspended),
            TenantStatus::Deleting | TenantStatus::Erased => return Some(Refusal::Deleted),
        }
        if let Some(parent) = &tenant.parent
            && !self.tenants.get(parent).is_some_and(|parent| parent.tenant.is_active())
        {
            return Some(Refusal::Organisation);
        }
        let regions = self.regions.as_ref()?;
        let region = &tenant.profile.region;
        (!regions.serves(region)).then(|| Refusal::Elsewhere { region: region.clone() })
    }

    /// Gives active tenants new tokens after the store had been away for too long.
    fn reopen(&mut self) {
        if !std::mem::take(&mut self.lost) {
            return;
        }
        for known in self.tenants.values_mut().filter(|known| known.is_open()) {
            let tenant = known.tenant.clone();
            *known = Arc::new(KnownTenant { tenant, refusal: None, closed: CancellationToken::new() });
        }
    }
}

fn lost() -> Error {
    Error::unavailable(
        "tenant.resolve",
        "the platform cannot tell which tenants may be used; try again later",
    )
}

fn timed_out() -> Error {
    lost().with_context("cause", "the tenant store did not answer in time")
}

#[cfg(test)]
mod tests;
