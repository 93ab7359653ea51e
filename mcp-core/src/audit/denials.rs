//! Denials, written in groups.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    AuditRecord, AuditStore, Chain, DenialLog, Entry,
    coalesce::{Taken, Waiting},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result, Retry},
    scope::{PlatformScope, PrincipalId},
};

/// Settings of the denial log.
#[derive(Debug, Clone)]
pub struct DenialConfig {
    /// Denials held while they wait to be written; more are dropped and counted. Default 4096.
    pub queue: usize,
    /// How long a denial waits for others to be written with it. Default 100 ms.
    pub linger: Duration,
    /// Records in one transaction. Default 500.
    pub batch: usize,
    /// In each `window`, this many denials of one actor and action are written; the rest become one record
    /// with their number. Default 20.
    pub burst: u32,
    /// Default 10 s.
    pub window: Duration,
    /// Actors and actions told apart at once. Default 10,000.
    pub windows: usize,
    /// How often a batch is tried while the database is away; then it is dropped and counted. Default 5.
    pub attempts: u32,
    /// How long the last flush may take at shutdown. Default 10 s.
    pub last_flush: Duration,
}

impl Default for DenialConfig {
    fn default() -> Self {
        Self {
            queue: 4096,
            linger: Duration::from_millis(100),
            batch: 500,
            burst: 20,
            window: Duration::from_secs(10),
            windows: 10_000,
            attempts: 5,
            last_flush: Duration::from_secs(10),
        }
    }
}

impl DenialConfig {
    fn check(&self) -> Result<()> {
        for (setting, zero) in [
            ("queue", self.queue == 0),
            ("batch", self.batch == 0),
            ("burst", self.burst == 0),
            ("window", self.window.is_zero()),
            ("windows", self.windows == 0),
            ("attempts", self.attempts == 0),
            ("last_flush", self.last_flush.is_zero()),
        ] {
            if zero {
                let message = format!("the denial log's `{setting}` must not be zero");
                return Err(Error::invalid_input("audit.denials", message));
            }
        }
        Ok(())
    }
}

/// Writes denials to their chains: a transaction per chain and batch, and one count where an actor is denied
/// the same action over and over.
///
/// Counters: `mcp_audit_denials_total`, `mcp_audit_denials_dropped_total`.
pub struct GroupedDenials {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    clock: Arc<dyn Clock>,
}

impl GroupedDenials {
    /// Starts the task that writes, on the current runtime.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a setting that is zero.
    pub fn start(store: Arc<dyn AuditStore>, clock: Arc<dyn Clock>, config: DenialConfig) -> Result<Self> {
        config.check()?;
        let scope = PlatformScope::new(PrincipalId::parse("platform")?, "recording denials");
        let waiting = Mutex::new(Waiting::new(config.clone()));
        let shared = Arc::new(Shared { waiting, wake: Notify::new(), clock });
        let stop = CancellationToken::new();
        let writer = Writer { shared: shared.clone(), store, scope, config };
        let task = Mutex::new(Some(tokio::spawn(writer.run(stop.clone()))));
        Ok(Self { shared, stop, task })
    }

    /// Writes what waits, the counts of all windows included, and ends the task. Denials that come later are
    /// dropped. May be called more than once.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer of denials failed");
        }
    }
}

impl Drop for GroupedDenials {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl DenialLog for GroupedDenials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        metrics::counter!("mcp_audit_denials_total").increment(1);
        if self.stop.is_cancelled() {
            return dropped(1);
        }
        let (at, now) = (self.shared.clock.now(), Instant::now());
        match self.shared.waiting().take(chain, record, at, now) {
            Taken::Dropped => dropped(1),
            // The first of a window is always queued, so the writer learns of every window.
            Taken::Queued => self.shared.wake.notify_one(),
            Taken::Counted => {}
        }
    }
}

impl fmt::Debug for GroupedDenials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupedDenials")
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer {
    shared: Arc<Shared>,
    store: Arc<dyn AuditStore>,
    scope: PlatformScope,
    config: DenialConfig,
}

impl Writer {
    async fn run(self, stop: CancellationToken) {
        loop {
            let end = self.shared.waiting().next_end();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.wake.notified() => {
                    let _ = stop.run_until_cancelled(tokio::time::sleep(self.config.linger)).await;
                }
                () = sleep_until(end) => {}
            }
            self.flush(false).await;
        }
        if tokio::time::timeout(self.config.last_flush, self.flush(true)).await.is_err() {
            tracing::warn!("the last denials were not recorded in time");
        }
    }

    async fn flush(&self, last: bool) {
        let entries = self.shared.waiting().drain(self.shared.clock.now(), Instant::now(), last);
        let mut by_chain: BTreeMap<Chain, Vec<Entry>> = BTreeMap::new();
        for (chain, entry) in entries {
            by_chain.entry(chain).or_default().push(entry);
        }
        for (chain, entries) in by_chain {
            for batch in entries.chunks(self.config.batch) {
                if let Err(error) = self.write(&chain, batch).await {
                    let count = batch.len() as u64;
                    tracing::warn!(%chain, count, error = error.report(), "denials could not be recorded");
                    self.shared.waiting().lose(count);
                    dropped(count);
                }
            }
        }
    }

    async fn write(&self, chain: &Chain, batch: &[Entry]) -> Result<()> {
        let mut pause = Duration::from_millis(50);
        for _ in 1..self.config.attempts {
            match self.store.append(&self.scope, chain, batch).await {
                Err(error) if error.retry() == Retry::Maybe => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                // The commit before, whose answer was lost, had succeeded: ids are unique.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
                done => return done,
            }
        }
        self.store.append(&self.scope, chain, batch).await
    }
}

async fn sleep_until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn dropped(count: u64) {
    metrics::counter!("mcp_audit_denials_dropped_total").increment(count);
}
