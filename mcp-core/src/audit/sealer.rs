//! The background task that links records into their chains.

use std::{
    collections::HashSet,
    path::PathBuf,
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

use super::{AuditKey, AuditStore, Chain, SealOrder, journal::Journal};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    lease::{Lease, Leases},
    scope::{PlatformScope, PrincipalId},
};

/// The lease that makes one of several replicas the sealer.
pub const SEALER_LEASE: &str = "audit.sealer";

/// Chains or checkpoints read at once.
const PAGE: u32 = 100;

/// Settings of the sealer. [`new`](Self::new) gives the defaults.
#[derive(Debug, Clone)]
pub struct SealerConfig {
    /// The file checkpoints are appended to, outside of the database; made with mode 0600 if it is not there.
    pub checkpoints: PathBuf,
    /// Time between two rounds. Default 1 s.
    pub interval: Duration,
    /// Records linked in one transaction. Default 500.
    pub batch: u32,
    /// How long the lease lasts: how soon another replica takes over from one that died. Default 15 s.
    pub lease: Duration,
    /// How long the last round may take at shutdown. Default 10 s.
    pub last_round: Duration,
}

impl SealerConfig {
    /// The defaults, with this file of checkpoints.
    #[must_use]
    pub fn new(checkpoints: impl Into<PathBuf>) -> Self {
        Self {
            checkpoints: checkpoints.into(),
            interval: Duration::from_secs(1),
            batch: 500,
            lease: Duration::from_secs(15),
            last_round: Duration::from_secs(10),
        }
    }

    fn check(&self) -> Result<()> {
        for (setting, zero) in [
            ("interval", self.interval.is_zero()),
            ("batch", self.batch == 0),
            ("lease", self.lease.is_zero()),
            ("last_round", self.last_round.is_zero()),
        ] {
            if zero {
                let message = format!("the sealer's `{setting}` must not be zero");
                return Err(Error::invalid_input("audit.seal", message));
            }
        }
        Ok(())
    }
}

/// What one round came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealRound {
    /// Whether this replica is the sealer; if not, it did nothing.
    pub leads: bool,
    /// Records linked.
    pub sealed: u64,
    /// Records that wait, as far as it is known.
    pub left: u64,
    /// Chains that could not be sealed; the log says why.
    pub failed: u64,
}

/// Links the records of all chains in commit order and writes a signed checkpoint after each batch, to the
/// database with the links and then to a file.
///
/// Of several replicas the holder of a lease seals; a link carries the lease's token, and a chain takes none
/// with a lower token than it has seen. A crash between the two writes of a checkpoint is made good by the
/// next round. The gauge `mcp_audit_unsealed` shows what waits.
#[derive(Debug)]
pub struct Sealer {
    stop: CancellationToken,
    requests: mpsc::Sender<oneshot::Sender<Result<SealRound>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Sealer {
    /// Starts the task, on the current runtime.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a setting that is zero.
    pub fn start(
        store: Arc<dyn AuditStore>,
        leases: Arc<dyn Leases>,
        key: AuditKey,
        clock: Arc<dyn Clock>,
        config: SealerConfig,
    ) -> Result<Self> {
        config.check()?;
        let scope = PlatformScope::new(PrincipalId::parse("sealer")?, "sealing the audit log");
        let owner = Uuid::now_v7().to_string();
        let stop = CancellationToken::new();
        let work = Work { store, leases, key, clock, config, scope, owner, stop: stop.clone(), term: None };
        let (requests, asked) = mpsc::channel(16);
        let task = Mutex::new(Some(tokio::spawn(work.run(asked))));
        Ok(Self { stop, requests, task })
    }

    /// Runs a round now, after the one that may be running, and says what it came to.
    ///
    /// # Errors
    /// Those of the lease, the list of chains and the file; [`Cancelled`](crate::ErrorKind::Cancelled) after
    /// [`shutdown`](Self::shutdown).
    ///
    /// # Cancellation
    /// The round is finished.
    pub async fn seal_now(&self) -> Result<SealRound> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Cancelled, "audit.seal", "the sealer is shutting down");
        self.requests.send(reply).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Seals what waits, gives the lease back, and ends the task. May be called more than once. Shut down
    /// first what still writes records.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the audit sealer failed");
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The time between taking the lease and losing it.
#[derive(Debug)]
struct Term {
    lease: Lease,
    renewed: Instant,
    journal: Journal,
    /// Chains all of whose checkpoints are in the file.
    exported: HashSet<Chain>,
}

struct Work {
    store: Arc<dyn AuditStore>,
    leases: Arc<dyn Leases>,
    key: AuditKey,
    clock: Arc<dyn Clock>,
    config: SealerConfig,
    scope: PlatformScope,
    owner: String,
    stop: CancellationToken,
    term: Option<Term>,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::Receiver<oneshot::Sender<Result<SealRound>>>) {
        let mut tick = tokio::time::interval(self.config.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(reply) = requests.recv() => {
                    // Whoever asked may have gone; the round counts all the same.
                    let _ = reply.send(self.round(false).await);
                }
                _ = tick.tick() => {
                    if let Err(error) = self.round(false).await {
                        tracing::warn!(error = error.report(), "the audit log was not sealed in this round");
                    }
                }
            }
        }
        match tokio::time::timeout(self.config.last_round, self.round(true)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(error = error.report(), "the last round of sealing failed"),
            Err(_) => tracing::warn!("the last round of sealing was cut; the next start goes on from there"),
        }
        if let Some(term) = self.term.take()
            && let Err(error) = self.leases.release(&self.scope, &term.lease).await
        {
            tracing::warn!(error = error.report(), "the sealer's lease was not released and runs out");
        }
    }

    /// Only the `last` round goes on once the sealer is to stop, as its time is limited.
    async fn round(&mut self, last: bool) -> Result<SealRound> {
        let mut round = SealRound { leads: self.leads().await?, ..SealRound::default() };
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
                if let Err(error) = self.chain(chain, &mut round).await {
                    round.failed += 1;
                    tracing::warn!(%chain, error = error.report(), "an audit chain could not be sealed");
                    if error.kind() == ErrorKind::Conflict {
                        self.term = None;
                    }
                }
            }
        }
        if round.leads {
            metrics::gauge!("mcp_audit_unsealed").set(round.left as f64);
        }
        Ok(round)
    }

    /// Takes the lease, or renews it where half of it has passed. On an error it counts as lost.
    async fn leads(&mut self) -> Result<bool> {
        let Self { leases, scope, config, .. } = self;
        match self.term.take() {
            Some(term) if term.renewed.elapsed() < config.lease / 2 => self.term = Some(term),
            Some(term) => {
                let asked = Instant::now();
                if let Some(lease) = leases.renew(scope, &term.lease, config.lease).await? {
                    self.term = Some(Term { lease, renewed: asked, ..term });
                }
            }
            None => {
                let asked = Instant::now();
                if let Some(lease) = leases.acquire(scope, SEALER_LEASE, &self.owner, config.lease).await? {
                    let journal = match Journal::open(&config.checkpoints).await {
                        Ok(journal) => journal,
                        Err(error) => {
                            leases.release(scope, &lease).await?;
                            return Err(error);
                        }
                    };
                    tracing::info!(token = lease.token, "this replica seals the audit log");
                    self.term = Some(Term { lease, renewed: asked, journal, exported: HashSet::new() });
                }
            }
        }
        Ok(self.term.is_some())
    }

    async fn chain(&mut self, chain: &Chain, round: &mut SealRound) -> Result<()> {
        let Some(term) = &mut self.term else { return Ok(()) };
        let mut waiting = self.store.unsealed(&self.scope, chain).await?;
        let more = waiting > 0;
        // At most what waited at the beginning, so that a chain that grows does not starve the others.
        for _ in 0..waiting.div_ceil(u64::from(self.config.batch)) {
            let order = SealOrder {
                fence: term.lease.token,
                now: self.clock.now(),
                limit: self.config.batch,
                key: &self.key,
            };
            let sealed = self.store.seal(&self.scope, chain, &order).await;
            let batch = sealed.inspect_err(|_| round.left += waiting)?;
            round.sealed += batch.sealed;
            waiting = batch.left;
            if batch.sealed == 0 {
                // What waits belongs to transactions that others have still to overtake.
                break;
            }
        }
        round.left += waiting;
        if more {
            term.exported.remove(chain);
        }
        if !term.exported.contains(chain) {
            export(&*self.store, &self.scope, chain, &mut term.journal).await?;
            term.exported.insert(chain.clone());
        }
        Ok(())
    }
}

/// Writes the chain's checkpoints that the file does not have yet.
async fn export(
    store: &dyn AuditStore,
    scope: &PlatformScope,
    chain: &Chain,
    journal: &mut Journal,
) -> Result<()> {
    loop {
        let missing = store.checkpoints(scope, chain, journal.last(chain), PAGE).await?;
        if missing.is_empty() {
            return Ok(());
        }
        journal.append(&missing).await?;
    }
}
