//! One running server and the task that owns it: start, watch, restart with back-off, stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mcp_core::scope::TenantId;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    served::Served,
    shared::Shared,
    start,
    state::{ServerState, State},
    stderr::Ring,
    usage::{Counted, Usage},
};
use crate::protocol::ServerName;

/// Whose instance of which server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// `None` for a server that all tenants share.
    pub(super) tenant: Option<TenantId>,
    pub(super) server: ServerName,
}

/// One instance, as its users see it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) key: Key,
    pub(super) served: Arc<Served>,
    pub(super) state: watch::Sender<State>,
    pub(super) stop: CancellationToken,
    /// Another release has taken its place: it ends with its last call and is not started again.
    pub(super) leaving: AtomicBool,
    /// An operator's wish to start over now.
    pub(super) restart: Notify,
    pub(super) usage: Arc<Usage>,
    pub(super) stderr: Arc<Ring>,
    pub(super) starts: AtomicU64,
}

/// Why a life of the server ended.
enum End {
    Wanted,
    Restart,
    Failed { reason: String, lived: Duration },
}

impl Instance {
    pub(super) fn new(key: Key, served: Arc<Served>, fleet: &Shared) -> Self {
        Self {
            key,
            served,
            state: watch::Sender::new(State::Starting),
            stop: fleet.stop.child_token(),
            leaving: AtomicBool::new(false),
            restart: Notify::new(),
            usage: Arc::new(Usage::new(Arc::clone(&fleet.bell))),
            stderr: Arc::new(Ring::new(fleet.config.stderr)),
            starts: AtomicU64::new(0),
        }
    }

    /// Waits until it is known whether it runs.
    pub(super) async fn settled(&self) -> State {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| !matches!(state, State::Starting | State::Stopping)).await;
        // The sender lives in `self`.
        settled.map_or(State::Stopped, |state| state.clone())
    }

    /// Waits until nothing of it is left.
    pub(super) async fn gone(&self) {
        let _ = self.state.subscribe().wait_for(|state| matches!(state, State::Stopped)).await;
    }

    /// Its state, for operators.
    pub(super) fn shown(&self) -> ServerState {
        match self.leaving.load(Ordering::Acquire) {
            true => ServerState::Stopping,
            false => ServerState::from(&*self.state.borrow()),
        }
    }

    /// Owns the server until it is to stop, is not used any more, or is given up.
    pub(super) async fn run(self: Arc<Self>, fleet: Arc<Shared>) {
        let config = &fleet.config;
        let mut failures = 0;
        loop {
            self.state.send_replace(State::Starting);
            let (reason, lived) = match self.live(&fleet).await {
                End::Wanted => break,
                _ if self.leaving.load(Ordering::Acquire) => break,
                End::Restart => {
                    failures = 0;
                    continue;
                }
                End::Failed { reason, lived } => (reason, lived),
            };
            tracing::warn!(server = %self.key.server, tenant = self.tenant(), reason, "server failed");
            self.count_exit("failed");
            failures = if lived >= config.stable { 1 } else { failures + 1 };
            let given_up = failures > config.crash_loop;
            let wait = if given_up {
                config.rest
            } else {
                backoff(config.backoff_min, config.backoff_max, failures)
            };
            let (until, reason) = (Instant::now() + wait, Arc::from(reason));
            self.state.send_replace(match given_up {
                true => State::GivenUp { until, reason },
                false => State::BackingOff { until, reason },
            });
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.restart.notified() => failures = 0,
                () = tokio::time::sleep_until(until) => if given_up { break },
            }
        }
        // Out of the table first: whoever sees `Stopped` looks there again and must not find this one.
        fleet.table().forget(&self);
        self.state.send_replace(State::Stopped);
    }

    /// One life: from launch until nothing of it is left.
    async fn live(&self, fleet: &Shared) -> End {
        let began = Instant::now();
        self.starts.fetch_add(1, Ordering::Relaxed);
        let server = self.key.server.to_string();
        metrics::counter!("mcp_server_starts_total", "server" => server.clone()).increment(1);
        let mut running = match start::start(self, fleet).await {
            Ok(running) => running,
            Err(_) if self.stop.is_cancelled() => return End::Wanted,
            Err(error) => {
                tracing::debug!(server, report = error.report(), "start failed");
                return End::Failed { reason: error.message().to_owned(), lived: Duration::ZERO };
            }
        };
        metrics::histogram!("mcp_server_start_seconds", "server" => server.clone())
            .record(began.elapsed().as_secs_f64());
        metrics::gauge!("mcp_server_running", "server" => server.clone()).increment(1.0);
        self.usage.touch();
        let ready = Instant::now();
        let upstream = Arc::new(Counted { upstream: running.upstream(), usage: Arc::clone(&self.usage) });
        self.state.send_replace(State::Ready { upstream, pid: running.pid() });

        let end = tokio::select! {
            biased;
            () = self.stop.cancelled() => End::Wanted,
            reason = running.ended() => End::Failed { reason, lived: ready.elapsed() },
            () = self.restart.notified() => End::Restart,
            () = self.usage.unused_for(fleet.config.idle) => {
                self.count_exit("idle");
                End::Wanted
            }
        };
        // A failure is shown as such by the caller; until then users wait for what comes next.
        self.state.send_replace(State::Stopping);
        running.stop().await;
        metrics::gauge!("mcp_server_running", "server" => server).decrement(1.0);
        end
    }

    fn count_exit(&self, reason: &'static str) {
        metrics::counter!("mcp_server_exits_total", "server" => self.key.server.to_string(), "reason" => reason).increment(1);
    }

    fn tenant(&self) -> &str {
        self.key.tenant.as_ref().map_or("", TenantId::as_str)
    }
}

/// The wait before the restart number `failures`: doubled each time, then shortened at random by up to half,
/// so that what fell together does not rise together.
fn backoff(min: Duration, max: Duration, failures: u32) -> Duration {
    let full = min.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1))).min(max);
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    // Only 20 bits: UUIDv4 keeps its version elsewhere, and more would not show.
    let part = f64::from(u32::try_from(random >> 44).unwrap_or(0)) / f64::from(1u32 << 20);
    full.mul_f64(1.0 - part / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap_and_is_never_under_half() {
        let (min, max) = (Duration::from_millis(250), Duration::from_secs(30));
        for (failures, full) in [(1, 250), (2, 500), (5, 4000), (8, 30_000), (60, 30_000)] {
            let full = Duration::from_millis(full);
            for _ in 0..50 {
                let wait = backoff(min, max, failures);
                assert!(wait <= full && wait >= full / 2, "{failures}: {wait:?}");
            }
        }
    }
}
