//! The retry budget: what keeps a failure at a provider from becoming a flood of requests to it.

use std::sync::{Mutex, PoisonError};

use mcp_core::clock::Timestamp;

use super::BudgetConfig;

/// Attempts beyond the first, saved up by requests and by time.
#[derive(Debug)]
pub(super) struct RetryBudget {
    config: BudgetConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    saved: f64,
    at: Timestamp,
}

impl RetryBudget {
    pub(super) const fn new(config: BudgetConfig, now: Timestamp) -> Self {
        Self { config, state: Mutex::new(State { saved: config.saved, at: now }) }
    }

    /// A request has come.
    pub(super) fn earn(&self, now: Timestamp) {
        self.change(now, |saved| (saved + self.config.per_request, ()));
    }

    /// Takes one attempt, if there is one.
    pub(super) fn spend(&self, now: Timestamp) -> bool {
        self.change(now, |saved| if saved >= 1.0 { (saved - 1.0, true) } else { (saved, false) })
    }

    fn change<T>(&self, now: Timestamp, change: impl FnOnce(f64) -> (f64, T)) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.since(state.at).as_secs_f64() * self.config.per_second;
        let (saved, result) = change((state.saved + earned).min(self.config.saved));
        *state = State { saved: saved.min(self.config.saved), at: now };
        result
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcp_core::clock::{Clock as _, ManualClock};

    use super::*;

    fn spent(budget: &RetryBudget, clock: &ManualClock) -> u32 {
        (0..1000).map(|_| u32::from(budget.spend(clock.now()))).sum()
    }

    #[test]
    fn it_is_earned_by_requests_and_by_time_and_saved_up_to_a_bound() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let config = BudgetConfig { per_request: 0.25, per_second: 0.5, saved: 10.0 };
        let budget = RetryBudget::new(config, clock.now());
        assert_eq!(spent(&budget, &clock), 10);
        for _ in 0..16 {
            budget.earn(clock.now());
        }
        assert_eq!(spent(&budget, &clock), 4);
        clock.advance(Duration::from_secs(6));
        assert_eq!(spent(&budget, &clock), 3);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(spent(&budget, &clock), 10);
    }

    #[test]
    fn a_clock_that_jumps_back_earns_nothing() {
        let clock = ManualClock::new(Timestamp::from_micros(60_000_000));
        let budget = RetryBudget::new(BudgetConfig::default(), clock.now());
        spent(&budget, &clock);
        clock.set(Timestamp::from_micros(0));
        assert_eq!(spent(&budget, &clock), 0);
    }
}
