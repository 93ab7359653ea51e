//! A deployment on a route, and whether it may be asked now.

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
    breaker::{Breaker, Pass, Verdict},
    report,
};
use crate::chat::ChatProvider;

/// The longest time for which an upstream is left alone because it asked for that.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The time where it asked to be left alone, but not for how long.
const SOME_PAUSE: Duration = Duration::from_secs(1);

/// A deployment, shared by all routes that name it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) provider: Arc<dyn ChatProvider>,
    /// The model's name there.
    pub(super) model: String,
    pub(super) breaker: Breaker,
    pub(super) upstream: Arc<Upstream>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What several deployments are behind: a wish to be left alone holds for all of them.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    /// In microseconds since the epoch.
    paused_until: AtomicI64,
}

impl Target {
    /// `provider/model`, as it is called in errors and logs.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.provider.name(), self.model)
    }

    /// Lets a request to the deployment through, or tells why not and for how long.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Admission, (String, Duration)> {
        let now = self.clock.now();
        let paused = Timestamp::from_micros(self.upstream.paused_until.load(Ordering::Relaxed)).since(now);
        if !paused.is_zero() {
            let seconds = paused.as_secs() + 1;
            return Err((format!("asked to be left alone for another {seconds} s"), paused));
        }
        match self.breaker.pass(now) {
            Ok(pass) => {
                if pass == Pass::Probe {
                    report::breaker(self, "half_open");
                }
                Ok(Admission { target: Arc::clone(self), pass, settled: false })
            }
            Err(wait) => Err(("has failed too often to be asked now".to_owned(), wait)),
        }
    }
}

/// A request that was let through; settled at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct Admission {
    target: Arc<Target>,
    pass: Pass,
    settled: bool,
}

impl Admission {
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The deployment answered.
    pub(super) fn succeeded(&mut self) {
        self.settle(Verdict::Good);
    }

    /// The deployment failed with `error`.
    pub(super) fn failed(&mut self, error: &Error) {
        let asked = error.retry_after();
        let limited = error.kind() == ErrorKind::RateLimited;
        if limited || asked.is_some() {
            let until = self.target.clock.now().after(asked.unwrap_or(SOME_PAUSE).min(LONGEST_PAUSE));
            self.target.upstream.paused_until.fetch_max(until.as_micros(), Ordering::Relaxed);
        }
        // To be busy is no defect; the pause says all there is to say.
        self.settle(if limited { Verdict::Unknown } else { Verdict::Bad });
    }

    fn settle(&mut self, verdict: Verdict) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let now = self.target.clock.now();
        if let Some(state) = self.target.breaker.settle(self.pass, verdict, now) {
            report::breaker(&self.target, state);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.settle(Verdict::Unknown);
    }
}
