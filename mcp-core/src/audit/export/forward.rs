//! The background task that takes the chains elsewhere as they grow.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Export, ExportPage, MAX_EXPORT_PAGE, Positions};
use crate::{
    audit::{AuditStore, Chain},
    error::{Error, ErrorKind, Result},
    lease::{Lease, Leases},
    scope::{PlatformScope, PrincipalId},
};

/// The lease that makes one of several replicas the forwarder.
pub const FORWARDER_LEASE: &str = "audit.forwarder";

/// Chains read at once.
const PAGE: u32 = 100;

/// Where records are forwarded to.
///
/// Promises: after `Ok` the receiver has the whole page. After an error it may have any part of it; the page
/// comes again.
#[async_trait]
pub trait AuditSink: Send + Sync + std::fmt::Debug {
    /// Delivers a page. It must end by itself: a receiver that does not answer is an error.
    ///
    /// # Errors
    /// Whatever kept the page from arriving. Every error is followed by another try, later.
    async fn deliver(&self, page: &ExportPage) -> Result<()>;
}

/// Settings of a forwarder.
#[derive(Debug, Clone)]
pub struct ForwarderConfig {
    /// Time between two rounds. Default 1 s.
    pub interval: Duration,
    /// Links in one delivery, at most 500. Default 200.
    pub page: u32,
    /// How long to wait after the first failed delivery; twice as long after each that follows. Default 1 s.
    pub first_pause: Duration,
    /// The longest such pause. Default 60 s.
    pub longest_pause: Duration,
    /// How long the lease lasts: how soon another replica takes over. A delivery takes less. Default 60 s.
    pub lease: Duration,
    /// How long the last round may take at shutdown. Default 10 s.
    pub last_round: Duration,
}

impl Default for ForwarderConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            page: 200,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            lease: Duration::from_secs(60),
            last_round: Duration::from_secs(10),
        }
    }
}

impl ForwarderConfig {
    fn check(&self) -> Result<()> {
        for (setting, wrong) in [
            ("interval", self.interval.is_zero()),
            ("page", self.page == 0 || self.page > MAX_EXPORT_PAGE),
            ("first_pause", self.first_pause.is_zero()),
            ("longest_pause", self.longest_pause < self.first_pause),
            ("lease", self.lease.is_zero()),
            ("last_round", self.last_round.is_zero()),
        ] {
            if wrong {
                let message = format!("the forwarder's `{setting}` is out of range");
                return Err(Error::invalid_input("audit.forward", message));
            }
        }
        Ok(())
    }
}

/// What one round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardRound {
    /// Whether this replica is the forwarder; if not, it did nothing.
    pub leads: bool,
    /// Links that have arrived.
    pub delivered: u64,
    /// Chains that could not be read; the log says why.
    pub failed: u64,
}

/// Delivers what is sealed of every chain to a sink, each link at least once and in the order of its chain.
///
/// It holds no queue: it reads the committed log from where the last delivery that arrived had come to, so
/// nothing is lost while the receiver, the platform or its network is away, and nothing piles up in memory. Of
/// several replicas the holder of a lease forwards. No database connection is held while it delivers.
///
/// Counters: `mcp_audit_forwarded_total`, `mcp_audit_forward_failures_total`.
#[derive(Debug)]
pub struct Forwarder {
    stop: CancellationToken,
    requests: mpsc::Sender<oneshot::Sender<Result<ForwardRound>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Forwarder {
    /// Starts the task, on the current runtime. `name` tells this forwarder from others with other sinks: 1 to
    /// 100 characters.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a setting or a name out of range.
    pub fn start(
        name: &str,
        store: Arc<dyn AuditStore>,
        leases: Arc<dyn Leases>,
        positions: Arc<dyn Positions>,
        sink: Arc<dyn AuditSink>,
        config: ForwarderConfig,
    ) -> Result<Self> {
        config.check()?;
        if name.is_empty() || name.len() > 100 {
            let message = "the name of a forwarder must have 1 to 100 characters";
            return Err(Error::invalid_input("audit.forward", message));
        }
        let work = Work {
            scope: PlatformScope::new(PrincipalId::parse("forwarder")?, "forwarding the audit log"),
            name: format!("{FORWARDER_LEASE}.{name}"),
            owner: Uuid::now_v7().to_string(),
            stop: CancellationToken::new(),
            lease: None,
            store,
            leases,
            positions,
            sink,
            config,
        };
        let stop = work.stop.clone();
        let (requests, asked) = mpsc::channel(16);
        let task = Mutex::new(Some(tokio::spawn(work.run(asked))));
        Ok(Self { stop, requests, task })
    }

    /// Runs a round now, whatever the pause, and says what it came to.
    ///
    /// # Errors
    /// Those of the lease, the list of chains, the positions and the sink;
    /// [`Cancelled`](crate::ErrorKind::Cancelled) after [`shutdown`](Self::shutdown).
    ///
    /// # Cancellation
    /// The round is finished.
    pub async fn forward_now(&self) -> Result<ForwardRound> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Cancelled, "audit.forward", "the forwarder is shutting down");
        self.requests.send(reply).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Delivers what waits, gives the lease back, and ends the task. May be called more than once. Shut down
    /// the sealer first.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the forwarder of the audit log failed");
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Work {
    scope: PlatformScope,
    name: String,
    owner: String,
    stop: CancellationToken,
    lease: Option<(Lease, Instant)>,
    store: Arc<dyn AuditStore>,
    leases: Arc<dyn Leases>,
    positions: Arc<dyn Positions>,
    sink: Arc<dyn AuditSink>,
    config: ForwarderConfig,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::Receiver<oneshot::Sender<Result<ForwardRound>>>) {
        let mut pause = None;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(reply) = requests.recv() => {
                    // Whoever asked may have gone; the round counts all the same.
                    let _ = reply.send(self.round(false).await);
                }
                () = tokio::time::sleep(pause.unwrap_or(self.config.interval)) => {
                    pause = match self.round(false).await {
                        Ok(_) => None,
                        Err(error) => {
                            let next = pause.map_or(self.config.first_pause, |pause| pause * 2);
                            let next = next.min(self.config.longest_pause);
                            let (sink, error) = (&self.name, error.report());
                            tracing::warn!(sink, error, pause = ?next, "audit records were not delivered");
                            Some(next)
                        }
                    };
                }
            }
        }
        match tokio::time::timeout(self.config.last_round, self.round(true)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = error.report(), "the last audit records were not delivered")
            }
            Err(_) => tracing::warn!("the last audit records were not delivered in time; they follow later"),
        }
        if let Some((lease, _)) = self.lease.take()
            && let Err(error) = self.leases.release(&self.scope, &lease).await
        {
            tracing::warn!(error = error.report(), "the forwarder's lease was not released and runs out");
        }
    }

    /// Only the `last` round goes on once the forwarder is to stop, as its time is limited.
    async fn round(&mut self, last: bool) -> Result<ForwardRound> {
        let mut round = ForwardRound { leads: self.leads().await?, ..ForwardRound::default() };
        let mut after = None;
        while round.leads {
            let chains = self.store.chains(&self.scope, after.as_ref(), PAGE).await?;
            let Some(end) = chains.last() else { break };
            after = Some(end.clone());
            for chain in &chains {
                let mut export = match self.export(chain).await {
                    Ok(export) => export,
                    Err(error) => {
                        failed(&mut round, chain, &error);
                        continue;
                    }
                };
                loop {
                    if self.stop.is_cancelled() && !last {
                        return Ok(round);
                    }
                    round.leads = self.leads().await?;
                    if !round.leads {
                        return Ok(round);
                    }
                    match export.next().await {
                        Ok(None) => break,
                        Ok(Some(page)) => {
                            self.deliver(&page).await?;
                            round.delivered += page.links.len() as u64;
                        }
                        Err(error) => {
                            failed(&mut round, chain, &error);
                            break;
                        }
                    }
                }
            }
        }
        Ok(round)
    }

    async fn export(&self, chain: &Chain) -> Result<Export> {
        let after = self.positions.load(chain).await?;
        let export = Export::new(self.store.clone(), self.scope.clone(), chain.clone(), after);
        Ok(export.with_page(self.config.page))
    }

    /// A sink that fails is away for all chains.
    async fn deliver(&self, page: &ExportPage) -> Result<()> {
        let delivered = self.sink.deliver(page).await;
        delivered.inspect_err(|_| metrics::counter!("mcp_audit_forward_failures_total").increment(1))?;
        metrics::counter!("mcp_audit_forwarded_total").increment(page.links.len() as u64);
        self.positions.save(&page.chain, page.last).await
    }

    /// Takes the lease, or renews it where a quarter of it has passed. On an error it counts as lost.
    async fn leads(&mut self) -> Result<bool> {
        let Self { leases, scope, config, .. } = self;
        match self.lease.take() {
            Some((lease, renewed)) if renewed.elapsed() < config.lease / 4 => {
                self.lease = Some((lease, renewed));
            }
            Some((lease, _)) => {
                let asked = Instant::now();
                let renewed = leases.renew(scope, &lease, config.lease).await?;
                self.lease = renewed.map(|lease| (lease, asked));
            }
            None => {
                let asked = Instant::now();
                let taken = leases.acquire(scope, &self.name, &self.owner, config.lease).await?;
                self.lease = taken.map(|lease| (lease, asked));
            }
        }
        Ok(self.lease.is_some())
    }
}

fn failed(round: &mut ForwardRound, chain: &Chain, error: &Error) {
    round.failed += 1;
    tracing::warn!(%chain, error = error.report(), "an audit chain could not be forwarded");
}
