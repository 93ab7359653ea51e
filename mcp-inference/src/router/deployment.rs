//! One model at one provider, and what is known of how it does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mcp_core::{
    Error, ErrorKind,
    clock::{Clock, Timestamp},
};

use super::{
    BreakerChange,
    breaker::{Breaker, BreakerConfig, BreakerState, Change},
    metrics::Metrics,
};
use crate::chat::ChatProvider;

/// What all deployments at a provider share.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) provider: Arc<dyn ChatProvider>,
    clock: Arc<dyn Clock>,
    /// When it may be asked again, by its own word; microseconds since 1970.
    not_before: AtomicI64,
}

impl Upstream {
    pub(super) fn new(provider: Arc<dyn ChatProvider>, clock: Arc<dyn Clock>) -> Self {
        Self { provider, clock, not_before: AtomicI64::new(i64::MIN) }
    }

    /// How long it still asks not to be asked.
    fn resting(&self) -> Option<Duration> {
        let until = Timestamp::from_micros(self.not_before.load(Ordering::Relaxed));
        Some(until.since(self.clock.now())).filter(|wait| !wait.is_zero())
    }

    fn rest(&self, wait: Duration) {
        self.not_before.fetch_max(self.clock.now().after(wait).as_micros(), Ordering::Relaxed);
    }
}

/// One model at one provider.
#[derive(Debug)]
pub(super) struct Deployment {
    /// `provider/model`.
    pub(super) name: String,
    pub(super) model: String,
    pub(super) upstream: Arc<Upstream>,
    breaker: Breaker,
    metrics: Metrics,
    changes: tokio::sync::broadcast::Sender<BreakerChange>,
}

impl Deployment {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        model: String,
        config: BreakerConfig,
        changes: tokio::sync::broadcast::Sender<BreakerChange>,
    ) -> Self {
        let name = format!("{}/{model}", upstream.provider.name());
        let breaker = Breaker::new(config, Arc::clone(&upstream.clock));
        Self { metrics: Metrics::register(&name), name, model, upstream, breaker, changes }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Leave to ask, or why not and for how long.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Attempt, (&'static str, Duration)> {
        if let Some(wait) = self.upstream.resting() {
            return Err(("the provider asked for a pause", wait));
        }
        let change = self.breaker.admit().map_err(|wait| ("left alone after failures", wait))?;
        self.tell(change);
        Ok(Attempt { deployment: Arc::clone(self), decided: false })
    }

    fn tell(&self, change: Option<Change>) {
        let Some((from, to)) = change else { return };
        self.metrics.breaker(to);
        let deployment = &self.name;
        let (from_name, to_name) = (from.as_str(), to.as_str());
        tracing::warn!(deployment, from = from_name, to = to_name, "a circuit breaker changed");
        let at = self.upstream.clock.now();
        // Nobody needs to listen.
        let _ = self.changes.send(BreakerChange { deployment: deployment.clone(), from, to, at });
    }
}

/// Leave to ask a deployment once; its end is told to the breaker. One that is dropped tells nothing.
#[derive(Debug)]
pub(super) struct Attempt {
    deployment: Arc<Deployment>,
    decided: bool,
}

impl Attempt {
    pub(super) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    pub(super) fn succeed(mut self) {
        self.decided = true;
        self.deployment.metrics.ended("ok");
        self.deployment.tell(self.deployment.breaker.succeed());
    }

    /// Failed with `error`; one that is the caller's fault counts as an answer.
    pub(super) fn fail(mut self, error: &Error) {
        self.decided = true;
        self.deployment.metrics.ended(error.kind().as_str());
        let change = match error.kind() {
            ErrorKind::InvalidInput => self.deployment.breaker.succeed(),
            ErrorKind::RateLimited => {
                // It works, it is only asked too often: a pause, not a failure.
                self.deployment.upstream.rest(error.retry_after().unwrap_or(Duration::from_secs(1)));
                self.deployment.breaker.give_back()
            }
            _ => {
                if let Some(wait) = error.retry_after() {
                    self.deployment.upstream.rest(wait);
                }
                self.deployment.breaker.fail()
            }
        };
        self.deployment.tell(change);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.decided {
            self.deployment.metrics.ended("cancelled");
            self.deployment.tell(self.deployment.breaker.give_back());
        }
    }
}
