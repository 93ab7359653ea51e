//! A circuit breaker: a deployment that keeps failing is left alone for a while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mcp_core::clock::{Clock, Timestamp};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it. Default 5.
    pub failures: u32,
    /// How long it stays open before one request may try. Default 30 s.
    pub open: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, open: Duration::from_secs(30) }
    }
}

/// What a breaker does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// They pass.
    Closed,
    /// None passes.
    Open,
    /// One passes; how it ends decides.
    HalfOpen,
}

impl BreakerState {
    /// The name in logs, metrics and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A change of state: from, to.
pub(super) type Change = (BreakerState, BreakerState);

/// The breaker of one deployment.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
enum Inner {
    Closed {
        failures: u32,
    },
    Open {
        until: Timestamp,
    },
    /// A request is trying.
    HalfOpen,
}

impl Inner {
    const fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen => BreakerState::HalfOpen,
        }
    }
}

impl Breaker {
    pub(super) const fn new(config: BreakerConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock, inner: Mutex::new(Inner::Closed { failures: 0 }) }
    }

    pub(super) fn state(&self) -> BreakerState {
        self.lock().state()
    }

    /// Lets a request pass, or says for how long none does.
    pub(super) fn admit(&self) -> Result<Option<Change>, Duration> {
        let now = self.clock.now();
        let mut inner = self.lock();
        match *inner {
            Inner::Closed { .. } => Ok(None),
            Inner::Open { until } if until <= now => {
                *inner = Inner::HalfOpen;
                Ok(Some((BreakerState::Open, BreakerState::HalfOpen)))
            }
            Inner::Open { until } => Err(until.since(now)),
            Inner::HalfOpen => Err(self.config.open),
        }
    }

    pub(super) fn succeed(&self) -> Option<Change> {
        self.become_state(Inner::Closed { failures: 0 })
    }

    pub(super) fn fail(&self) -> Option<Change> {
        let until = self.clock.now().after(self.config.open);
        let mut inner = self.lock();
        match &mut *inner {
            Inner::Closed { failures } if *failures + 1 < self.config.failures => {
                *failures += 1;
                None
            }
            // A request that began before it opened changes nothing.
            Inner::Open { .. } => None,
            _ => {
                let from = inner.state();
                *inner = Inner::Open { until };
                Some((from, BreakerState::Open))
            }
        }
    }

    /// The request ended without telling anything of the deployment: another may try.
    pub(super) fn give_back(&self) -> Option<Change> {
        let mut inner = self.lock();
        if !matches!(*inner, Inner::HalfOpen) {
            return None;
        }
        *inner = Inner::Open { until: self.clock.now() };
        Some((BreakerState::HalfOpen, BreakerState::Open))
    }

    fn become_state(&self, next: Inner) -> Option<Change> {
        let mut inner = self.lock();
        let (from, to) = (inner.state(), next.state());
        // A late success of before it opened does not close it: the one that tries decides.
        if from == BreakerState::Open {
            return None;
        }
        *inner = next;
        (from != to).then_some((from, to))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mcp_core::clock::ManualClock;

    use super::*;

    fn breaker() -> (Breaker, ManualClock) {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let config = BreakerConfig { failures: 2, open: Duration::from_secs(30) };
        (Breaker::new(config, Arc::new(clock.clone())), clock)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_success_of_the_one_that_tries() {
        use BreakerState::{Closed, HalfOpen, Open};
        let (breaker, clock) = breaker();
        assert_eq!(breaker.fail(), None);
        assert_eq!(breaker.succeed(), None);
        assert_eq!((breaker.fail(), breaker.fail()), (None, Some((Closed, Open))));
        assert_eq!(breaker.admit(), Err(Duration::from_secs(30)));
        clock.advance(Duration::from_secs(30));
        assert_eq!(breaker.admit(), Ok(Some((Open, HalfOpen))));
        assert!(breaker.admit().is_err(), "two try at once");
        assert_eq!(breaker.succeed(), Some((HalfOpen, Closed)));
        assert_eq!(breaker.admit(), Ok(None));
    }

    #[test]
    fn a_failure_of_the_one_that_tries_opens_it_again() {
        let (breaker, clock) = breaker();
        breaker.fail();
        breaker.fail();
        clock.advance(Duration::from_secs(31));
        breaker.admit().unwrap();
        assert_eq!(breaker.fail(), Some((BreakerState::HalfOpen, BreakerState::Open)));
        assert_eq!(breaker.admit(), Err(Duration::from_secs(30)));
    }

    #[test]
    fn one_that_tried_and_was_cancelled_lets_the_next_try() {
        let (breaker, clock) = breaker();
        breaker.fail();
        breaker.fail();
        clock.advance(Duration::from_secs(31));
        breaker.admit().unwrap();
        breaker.give_back();
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn a_late_success_does_not_close_it() {
        let (breaker, _clock) = breaker();
        breaker.fail();
        breaker.fail();
        assert_eq!(breaker.succeed(), None);
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}
