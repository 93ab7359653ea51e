//! The background task that publishes committed events.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EventBus, FeedHints, OutboxStore};
use crate::{
    audit::Chain,
    clock::Clock,
    error::{Error, ErrorKind, Result},
    lease::{Lease, Leases},
    scope::{PlatformScope, PrincipalId},
};

/// The lease that makes one of several replicas the relay.
pub const RELAY_LEASE: &str = "event.relay";

/// Chains read at once.
const PAGE: u32 = 100;
/// Batches published or pruned on one chain before the others have their turn.
const TURN: usize = 10;

/// Settings of the relay.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Time between two looks at every outbox, for what other processes committed. Default 1 s.
    pub interval: Duration,
    /// Events published at once. Default 100.
    pub batch: u32,
    /// How long the lease lasts: how soon another replica takes over from one that died. Default 15 s.
    pub lease: Duration,
    /// How long published events are kept for feeds. Default 7 days.
    pub retention: Duration,
    /// Time between two removals of what is older. Default 1 minute.
    pub prune_interval: Duration,
    /// How long the last round may take at shutdown. Default 10 s.
    pub last_round: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            batch: 100,
            lease: Duration::from_secs(15),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            prune_interval: Duration::from_secs(60),
            last_round: Duration::from_secs(10),
        }
    }
}

impl RelayConfig {
    fn check(&self) -> Result<()> {
        for (setting, zero) in [
            ("interval", self.interval.is_zero()),
            ("batch", self.batch == 0),
            ("lease", self.lease.is_zero()),
            ("prune_interval", self.prune_interval.is_zero()),
            ("last_round", self.last_round.is_zero()),
        ] {
            if zero {
                let message = format!("the relay's `{setting}` must not be zero");
                return Err(Error::invalid_input("event.relay", message));
            }
        }
        Ok(())
    }
}

/// What one round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayRound {
    /// Whether this replica is the relay; if not, it did nothing.
    pub leads: bool,
    /// Events published.
    pub published: u64,
    /// Events that wait, as far as it is known.
    pub left: u64,
    /// Old events removed.
    pub pruned: u64,
    /// Chains that failed; the log says why.
    pub failed: u64,
}

/// Publishes the events of all chains in the order of their commits, at least once: an event counts as
/// published only after the bus has taken it, so one that was taken just before a crash is published again.
///
/// A commit of this process wakes it at once; what others commit it finds in its next round. Of several
/// replicas the holder of a lease relays, and a chain takes no record from an earlier holder. The gauge
/// `mcp_events_waiting` shows what waits, the histogram `mcp_event_publish_seconds` how long it did.
#[derive(Debug)]
pub struct OutboxRelay {
    stop: CancellationToken,
    hints: FeedHints,
    requests: mpsc::Sender<oneshot::Sender<Result<RelayRound>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl OutboxRelay {
    /// Starts the task, on the current runtime.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a setting that is zero.
    pub fn start(
        store: Arc<dyn OutboxStore>,
        bus: Arc<dyn EventBus>,
        leases: Arc<dyn Leases>,
        clock: Arc<dyn Clock>,
        config: RelayConfig,
    ) -> Result<Self> {
        config.check()?;
        let scope = PlatformScope::new(PrincipalId::parse("relay")?, "publishing committed events");
        let (owner, stop) = (Uuid::now_v7().to_string(), CancellationToken::new());
        let hints = FeedHints::default();
        let work = Work {
            store,
            bus,
            leases,
            clock,
            config,
            hints: hints.clone(),
            scope,
            owner,
            stop: stop.clone(),
            term: None,
            pruned: None,
        };
        let (requests, asked) = mpsc::channel(16);
        Ok(Self { stop, hints, requests, task: Mutex::new(Some(tokio::spawn(work.run(asked)))) })
    }

    /// Says when feeds have grown by what this process published.
    #[must_use]
    pub const fn hints(&self) -> &FeedHints {
        &self.hints
    }

    /// Runs a round over all chains now, after the one that may be running, and says what it came to.
    ///
    /// # Errors
    /// Those of the lease and the list of chains; [`Cancelled`](crate::ErrorKind::Cancelled) after
    /// [`shutdown`](Self::shutdown).
    ///
    /// # Cancellation
    /// The round is finished.
    pub async fn relay_now(&self) -> Result<RelayRound> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Cancelled, "event.relay", "the relay is shutting down");
        self.requests.send(reply).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Publishes what waits, gives the lease back, and ends the task. May be called more than once. Shut down
    /// first what still commits events.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the relay of events failed");
        }
    }
}

impl Drop for OutboxRelay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Work {
    store: Arc<dyn OutboxStore>,
    bus: Arc<dyn EventBus>,
    leases: Arc<dyn Leases>,
    clock: Arc<dyn Clock>,
    config: RelayConfig,
    hints: FeedHints,
    scope: PlatformScope,
    owner: String,
    stop: CancellationToken,
    /// The lease, and when it was renewed.
    term: Option<(Lease, Instant)>,
    pruned: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::Receiver<oneshot::Sender<Result<RelayRound>>>) {
        let mut tick = tokio::time::interval(self.config.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let store = self.store.clone();
        loop {
            let round = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(reply) = requests.recv() => {
                    // Whoever asked may have gone; the round counts all the same.
                    let _ = reply.send(self.round(false).await);
                    continue;
                }
                _ = tick.tick() => self.round(false).await,
                chains = store.committed() => self.some(&chains).await,
            };
            if let Err(error) = round {
                tracing::warn!(error = error.report(), "events were not published in this round");
            }
        }
        match tokio::time::timeout(self.config.last_round, self.round(true)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(error = error.report(), "the last round of the relay failed"),
            Err(_) => {
                tracing::warn!("the last round of the relay was cut; the next start goes on from there")
            }
        }
        if let Some((lease, _)) = self.term.take()
            && let Err(error) = self.leases.release(&self.scope, &lease).await
        {
            tracing::warn!(error = error.report(), "the relay's lease was not released and runs out");
        }
    }

    /// Only the `last` round goes on once the relay is to stop, as its time is limited.
    async fn round(&mut self, last: bool) -> Result<RelayRound> {
        let mut round = RelayRound { leads: self.leads().await?, ..RelayRound::default() };
        let prune = self.pruned.is_none_or(|at| at.elapsed() >= self.config.prune_interval);
        let mut after = None;
        while round.leads {
            let chains = self.store.chains(&self.scope, after.as_ref(), PAGE).await?;
            let Some(end) = chains.last() else { break };
            after = Some(end.clone());
            for chain in &chains {
                if self.stop.is_cancelled() && !last {
                    return Ok(round);
                }
                round.leads = self.leads().await?;
                if !round.leads {
                    break;
                }
                self.visit(chain, prune, &mut round).await;
            }
        }
        if round.leads {
            metrics::gauge!("mcp_events_waiting").set(round.left as f64);
            if prune {
                self.pruned = Some(Instant::now());
            }
        }
        Ok(round)
    }

    /// The chains on which this process has just committed. A replica that is not the relay does not ask for
    /// the lease here: that would cost a write for each commit.
    async fn some(&mut self, chains: &[Chain]) -> Result<RelayRound> {
        let leads = self.term.is_some() && self.leads().await?;
        let mut round = RelayRound { leads, ..RelayRound::default() };
        for chain in chains {
            if !round.leads || self.stop.is_cancelled() {
                break;
            }
            self.visit(chain, false, &mut round).await;
            round.leads = self.leads().await?;
        }
        Ok(round)
    }

    /// One chain's failure does not hold up the others.
    async fn visit(&mut self, chain: &Chain, prune: bool, round: &mut RelayRound) {
        let mut done = self.publish(chain, round).await;
        if prune && done.is_ok() {
            done = self.prune(chain, round).await;
        }
        if let Err(error) = done {
            round.failed += 1;
            round.left += self.store.lag(&self.scope, chain).await.unwrap_or(0);
            tracing::warn!(%chain, error = error.report(), "the events of a chain could not be published");
            if error.kind() == ErrorKind::Conflict {
                self.term = None;
            }
        }
    }

    async fn publish(&mut self, chain: &Chain, round: &mut RelayRound) -> Result<()> {
        let Some((lease, _)) = &self.term else { return Ok(()) };
        let fence = lease.token;
        for _ in 0..TURN {
            let waiting = self.store.waiting(&self.scope, chain, self.config.batch).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            let events: Vec<_> = waiting.iter().map(|waiting| waiting.event.clone()).collect();
            self.bus.publish(&self.scope, chain, &events).await?;
            // A crash right here publishes them again: at least once, and in the same order.
            let now = self.clock.now();
            self.store.published(&self.scope, chain, &waiting, fence, now).await?;
            if let Chain::Tenant(tenant) = chain {
                self.hints.send(tenant);
            }
            for event in &waiting {
                let waited = now.since(event.created_at).as_secs_f64();
                metrics::histogram!("mcp_event_publish_seconds").record(waited);
            }
            metrics::counter!("mcp_events_published_total").increment(waiting.len() as u64);
            round.published += waiting.len() as u64;
            if waiting.len() < self.config.batch as usize {
                return Ok(());
            }
        }
        round.left += self.store.lag(&self.scope, chain).await?;
        Ok(())
    }

    async fn prune(&mut self, chain: &Chain, round: &mut RelayRound) -> Result<()> {
        let retention = i64::try_from(self.config.retention.as_micros()).unwrap_or(i64::MAX);
        let before =
            crate::clock::Timestamp::from_micros(self.clock.now().as_micros().saturating_sub(retention));
        for _ in 0..TURN {
            let gone = self.store.prune(&self.scope, chain, before, self.config.batch).await?;
            round.pruned += gone;
            if gone < u64::from(self.config.batch) {
                break;
            }
        }
        Ok(())
    }

    /// Takes the lease, or renews it where half of it has passed. On an error it counts as lost.
    async fn leads(&mut self) -> Result<bool> {
        let Self { leases, scope, config, .. } = self;
        let asked = Instant::now();
        self.term = match self.term.take() {
            Some((lease, renewed)) if renewed.elapsed() < config.lease / 2 => Some((lease, renewed)),
            Some((lease, _)) => leases.renew(scope, &lease, config.lease).await?.map(|lease| (lease, asked)),
            None => {
                let taken = leases.acquire(scope, RELAY_LEASE, &self.owner, config.lease).await?;
                if let Some(lease) = &taken {
                    tracing::info!(token = lease.token, "this replica publishes events");
                }
                taken.map(|lease| (lease, asked))
            }
        };
        Ok(self.term.is_some())
    }
}
