//! A circuit breaker: a deployment that keeps failing is left alone, and tried with one request at a time.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mcp_core::clock::Timestamp;

use super::BreakerConfig;

/// The breaker of one deployment.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests pass; so many in a row have failed.
    Closed { failures: u32 },
    /// None passes until then; it has opened so many times without closing.
    Open { until: Timestamp, times: u32 },
    /// One request is on its way to find out.
    HalfOpen { times: u32 },
}

/// What a request that passed has to report back as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Normal,
    /// It alone decides whether the breaker closes.
    Probe,
}

/// What became of a request that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad,
    /// Nobody waited for the end, or it says nothing about the deployment.
    Unknown,
}

impl Breaker {
    pub(super) const fn new(config: BreakerConfig) -> Self {
        Self { config, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Lets a request pass, or says how long none will.
    ///
    /// Every pass must be [settled](Self::settle): a probe that is forgotten would keep the breaker half open.
    pub(super) fn pass(&self, now: Timestamp) -> Result<Pass, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(Pass::Normal),
            State::Open { until, times } if now >= until => {
                *state = State::HalfOpen { times };
                Ok(Pass::Probe)
            }
            State::Open { until, .. } => Err(until.since(now)),
            // The probe's end decides; it has a time limit of its own.
            State::HalfOpen { .. } => Err(Duration::from_secs(1)),
        }
    }

    /// Takes note of what became of a request; returns the breaker's state where that changed it.
    pub(super) fn settle(&self, pass: Pass, verdict: Verdict, now: Timestamp) -> Option<&'static str> {
        let mut state = self.lock();
        let next = match (*state, pass, verdict) {
            (State::Closed { .. }, _, Verdict::Good) => State::Closed { failures: 0 },
            (State::Closed { failures }, _, Verdict::Bad) if failures + 1 >= self.config.failures => {
                State::Open { until: now.after(self.wait(0)), times: 1 }
            }
            (State::Closed { failures }, _, Verdict::Bad) => State::Closed { failures: failures + 1 },
            (State::HalfOpen { .. }, Pass::Probe, Verdict::Good) => State::Closed { failures: 0 },
            (State::HalfOpen { times }, Pass::Probe, Verdict::Bad) => {
                State::Open { until: now.after(self.wait(times)), times: times.saturating_add(1) }
            }
            // The next request may find out in its place.
            (State::HalfOpen { times }, Pass::Probe, Verdict::Unknown) => State::Open { until: now, times },
            // What began before the breaker opened tells nothing new.
            (unchanged, _, _) => unchanged,
        };
        let changed = std::mem::discriminant(&next) != std::mem::discriminant(&*state);
        *state = next;
        changed.then(|| next.name())
    }

    fn wait(&self, times: u32) -> Duration {
        self.config.open.saturating_mul(1 << times.min(16)).min(self.config.longest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use mcp_core::clock::{Clock as _, ManualClock};

    use super::*;

    fn open(clock: &ManualClock) -> Breaker {
        let config =
            BreakerConfig { failures: 3, open: Duration::from_secs(10), longest: Duration::from_secs(30) };
        let breaker = Breaker::new(config);
        for wanted in [None, None, Some("open")] {
            let pass = breaker.pass(clock.now()).unwrap();
            assert_eq!(breaker.settle(pass, Verdict::Bad, clock.now()), wanted);
        }
        breaker
    }

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_micros(0))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let clock = clock();
        let breaker = Breaker::new(BreakerConfig { failures: 2, ..BreakerConfig::default() });
        for verdict in
            [Verdict::Bad, Verdict::Good, Verdict::Bad, Verdict::Unknown, Verdict::Good, Verdict::Bad]
        {
            let pass = breaker.pass(clock.now()).unwrap();
            assert_eq!(breaker.settle(pass, verdict, clock.now()), None);
        }
        breaker.settle(Pass::Normal, Verdict::Bad, clock.now());
        assert_eq!(breaker.pass(clock.now()), Err(Duration::from_secs(10)));
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let clock = clock();
        let breaker = open(&clock);
        clock.advance(Duration::from_secs(9));
        assert_eq!(breaker.pass(clock.now()), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(breaker.pass(clock.now()), Ok(Pass::Probe));
        assert!(breaker.pass(clock.now()).is_err(), "a second probe");
        // One that began before does not decide.
        assert_eq!(breaker.settle(Pass::Normal, Verdict::Good, clock.now()), None);
        assert!(breaker.pass(clock.now()).is_err());
        assert_eq!(breaker.settle(Pass::Probe, Verdict::Good, clock.now()), Some("closed"));
        assert_eq!(breaker.pass(clock.now()), Ok(Pass::Normal));
    }

    #[test]
    fn each_probe_that_fails_doubles_the_wait_up_to_the_longest() {
        let clock = clock();
        let breaker = open(&clock);
        for seconds in [10, 20, 30, 30] {
            assert_eq!(breaker.pass(clock.now()), Err(Duration::from_secs(seconds)));
            clock.advance(Duration::from_secs(seconds));
            let probe = breaker.pass(clock.now()).unwrap();
            assert_eq!(breaker.settle(probe, Verdict::Bad, clock.now()), Some("open"));
        }
    }

    #[test]
    fn a_probe_that_nobody_waits_for_makes_room_for_another() {
        let clock = clock();
        let breaker = open(&clock);
        clock.advance(Duration::from_secs(10));
        let probe = breaker.pass(clock.now()).unwrap();
        breaker.settle(probe, Verdict::Unknown, clock.now());
        assert_eq!(breaker.pass(clock.now()), Ok(Pass::Probe));
    }
}
