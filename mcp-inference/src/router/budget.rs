//! How many further attempts requests may cause, so that a failing provider is not answered with more load.

use std::sync::{Mutex, PoisonError};

/// How many attempts beyond the first there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudgetConfig {
    /// Further attempts for each request, in the long run. Default 0.2.
    pub ratio: f64,
    /// Further attempts that may be made at once after a quiet time. Default 20.
    pub reserve: u32,
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self { ratio: 0.2, reserve: 20 }
    }
}

/// One budget for all routes of a router.
#[derive(Debug)]
pub(super) struct RetryBudget {
    config: RetryBudgetConfig,
    left: Mutex<f64>,
}

impl RetryBudget {
    pub(super) fn new(config: RetryBudgetConfig) -> Self {
        Self { config, left: Mutex::new(f64::from(config.reserve)) }
    }

    /// A request came in.
    pub(super) fn deposit(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + self.config.ratio).min(f64::from(self.config.reserve));
    }

    /// Whether a further attempt may be made; it is taken off then.
    pub(super) fn withdraw(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // A little less than one, for what was added in fractions.
        let granted = *left > 1.0 - 1e-9;
        if granted {
            *left -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_attempts_are_a_share_of_the_requests() {
        let budget = RetryBudget::new(RetryBudgetConfig { ratio: 0.2, reserve: 2 });
        assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
        let granted = (0..100).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        assert_eq!(granted.count(), 20);
    }
}
