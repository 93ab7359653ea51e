//! What a router is configured with.

use std::{collections::BTreeSet, time::Duration};

use mcp_core::{Error, Result};

/// Routes, and what bounds the way along them.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// One for each model that callers may name.
    pub routes: Vec<Route>,
    /// When a deployment is left alone.
    pub breaker: BreakerConfig,
    /// How many attempts there may be beyond the first ones.
    pub budget: BudgetConfig,
    /// Attempts for one request, the first included. Default 4.
    pub attempts: u32,
    /// Longest time until a stream's first content, for each attempt. Default 60 s.
    pub first_content: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            breaker: BreakerConfig::default(),
            budget: BudgetConfig::default(),
            attempts: 4,
            first_content: Duration::from_secs(60),
        }
    }
}

/// A model's name as callers know it, and who answers for it.
#[derive(Debug, Clone)]
pub struct Route {
    /// 1 to 256 characters.
    pub model: String,
    /// Asked in this order: 1 to 16.
    pub chain: Vec<Deployment>,
}

/// One model at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deployment {
    /// The provider's name.
    pub provider: String,
    /// The model's name there.
    pub model: String,
}

impl Deployment {
    /// The model `model` at `provider`.
    #[must_use]
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }
}

/// When a deployment is left alone.
#[derive(Debug, Clone, Copy)]
pub struct BreakerConfig {
    /// Failures in a row that open it. Default 5.
    pub failures: u32,
    /// Time until a deployment is tried again, doubled with each trial that fails. Default 10 s.
    pub open: Duration,
    /// Longest such time. Default 300 s.
    pub longest: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, open: Duration::from_secs(10), longest: Duration::from_secs(300) }
    }
}

/// Attempts beyond the first one of each request, for retries and fallbacks together.
#[derive(Debug, Clone, Copy)]
pub struct BudgetConfig {
    /// For each request. Default 0.2.
    pub per_request: f64,
    /// For each second, so that few requests have them too. Default 1.
    pub per_second: f64,
    /// Saved up at most, and there at the start. Default 10.
    pub saved: f64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { per_request: 0.2, per_second: 1.0, saved: 10.0 }
    }
}

/// Deployments of one route.
const MAX_CHAIN: usize = 16;

impl RouterConfig {
    pub(super) fn check(&self) -> Result<()> {
        let mut models = BTreeSet::new();
        for route in &self.routes {
            let model = &route.model;
            if model.is_empty() || model.len() > 256 {
                return Err(refuse(format!("{model:?} is no model's name: use 1 to 256 characters")));
            }
            if !models.insert(model) {
                return Err(refuse(format!("there are two routes for the model `{model}`")));
            }
            if route.chain.is_empty() || route.chain.len() > MAX_CHAIN {
                return Err(refuse(format!(
                    "the route `{model}`: chain must name 1 to {MAX_CHAIN} deployments"
                )));
            }
            let mut deployments = BTreeSet::new();
            for deployment in &route.chain {
                if deployment.model.is_empty() {
                    return Err(refuse(format!("the route `{model}`: a deployment names no model")));
                }
                if !deployments.insert(deployment) {
                    let Deployment { provider, model: there } = deployment;
                    return Err(refuse(format!("the route `{model}` names {provider}/{there} twice")));
                }
            }
        }
        let budget = self.budget;
        let counts = [budget.per_request, budget.per_second, budget.saved];
        if counts.iter().any(|count| !count.is_finite() || *count < 0.0) {
            return Err(refuse("a retry budget must be zero or more".to_owned()));
        }
        let breaker = self.breaker;
        if self.attempts == 0
            || breaker.failures == 0
            || breaker.open.is_zero()
            || self.first_content.is_zero()
        {
            return Err(refuse("attempts, failures and times must be at least 1".to_owned()));
        }
        Ok(())
    }
}

pub(super) fn refuse(why: String) -> Error {
    Error::invalid_input("router.config", why)
}
