//! From the name of a model to a provider that answers.

mod attempts;
mod breaker;
mod budget;
mod deployment;
mod metrics;
mod stream;

use std::{collections::BTreeMap, sync::Arc};

use mcp_core::{
    Error, Result, Scope,
    clock::{Clock, Timestamp},
    error::Retry,
    strict,
};
use tokio::sync::broadcast;

pub use breaker::{BreakerConfig, BreakerState};
pub use budget::RetryBudgetConfig;

use self::{
    attempts::Attempts,
    budget::RetryBudget,
    deployment::{Deployment, Upstream},
};
use crate::chat::{ChatCompletion, ChatProvider, ChatRequest, ChunkStream};

/// A model name of callers, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What callers write as `model`.
    pub model: String,
    /// Where requests go: to the first, to the second when that fails, and so on.
    pub deployments: Vec<DeploymentSpec>,
}

/// One model at one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentSpec {
    /// The provider's name.
    pub provider: String,
    /// The model's name there.
    pub model: String,
}

/// How a [`Router`] deals with failures.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouterConfig {
    /// Of each deployment.
    pub breaker: BreakerConfig,
    /// Of all requests together.
    pub retries: RetryBudgetConfig,
}

/// The breaker of a deployment changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerChange {
    /// `provider/model`.
    pub deployment: String,
    /// What it did.
    pub from: BreakerState,
    /// What it does.
    pub to: BreakerState,
    /// When.
    pub at: Timestamp,
}

/// An answer, and who gave it.
#[derive(Debug)]
pub struct Routed<T> {
    /// The answer.
    pub answer: T,
    /// `provider/model`.
    pub deployment: String,
}

/// Sends each request to the first deployment of its route that answers.
///
/// * A deployment that keeps failing is left alone for a while, and a provider that asks for a pause gets one,
///   for all of its deployments.
/// * Attempts beyond the first come out of one budget for all requests.
/// * A stream is committed to a deployment by its first content: before that another one may take over, after
///   that an error ends the stream.
/// * A request that a provider finds fault with is not tried elsewhere.
///
/// Routes are operators' and the same for every tenant. Nothing is kept of requests or answers.
#[derive(Debug)]
pub struct Router {
    routes: BTreeMap<String, Vec<Arc<Deployment>>>,
    budget: RetryBudget,
    changes: broadcast::Sender<BreakerChange>,
}

impl Router {
    /// A router over `providers`. Metrics go to the recorder that is installed now.
    ///
    /// # Errors
    /// `InvalidInput` that names the route: without a deployment, twice there, or with a provider that is not
    /// there, with the nearest one that is.
    pub fn new(
        routes: Vec<Route>,
        providers: Vec<Arc<dyn ChatProvider>>,
        config: RouterConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let changes = broadcast::channel(64).0;
        let mut upstreams = BTreeMap::new();
        for provider in providers {
            let name = provider.name().to_owned();
            let upstream = Arc::new(Upstream::new(provider, Arc::clone(&clock)));
            if upstreams.insert(name.clone(), upstream).is_some() {
                return Err(Error::invalid_input("router.open", format!("provider `{name}` is there twice")));
            }
        }
        // A deployment of two routes is one: what is known of it holds for both.
        let mut deployments: BTreeMap<String, Arc<Deployment>> = BTreeMap::new();
        let mut table = BTreeMap::new();
        for Route { model, deployments: chain } in routes {
            let refuse = |why: String| Error::invalid_input("router.open", format!("route `{model}` {why}"));
            if chain.is_empty() {
                return Err(refuse("has no deployment".to_owned()));
            }
            let mut resolved = Vec::with_capacity(chain.len());
            for spec in chain {
                let upstream = upstreams
                    .get(&spec.provider)
                    .ok_or_else(|| refuse(unknown_provider(&spec.provider, upstreams.keys())))?;
                let key = format!("{}/{}", spec.provider, spec.model);
                let deployment = deployments.entry(key).or_insert_with(|| {
                    let upstream = Arc::clone(upstream);
                    Arc::new(Deployment::new(upstream, spec.model, config.breaker, changes.clone()))
                });
                resolved.push(Arc::clone(deployment));
            }
            if table.insert(model.clone(), resolved).is_some() {
                return Err(refuse("is there twice".to_owned()));
            }
        }
        Ok(Self { routes: table, budget: RetryBudget::new(config.retries), changes })
    }

    /// The names of models that callers may write, in order.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.routes.keys().map(String::as_str)
    }

    /// The deployments of a route with the states of their breakers, first choice first.
    ///
    /// # Errors
    /// `NotFound` that names the nearest route.
    pub fn deployments(&self, model: &str) -> Result<Vec<(&str, BreakerState)>> {
        let chain = self.chain(model)?.iter();
        Ok(chain.map(|deployment| (deployment.name.as_str(), deployment.state())).collect())
    }

    /// What breakers do from now on. A listener that is slow misses the oldest of 64.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<BreakerChange> {
        self.changes.subscribe()
    }

    /// A whole answer.
    ///
    /// # Errors
    /// `NotFound` for a model without a route; `InvalidInput` as the provider says; otherwise, when no
    /// deployment answers, an error that names each and why: `RateLimited` where all of them ask for a pause,
    /// `DeadlineExceeded` where the scope's deadline passed, else `Unavailable`.
    ///
    /// # Cancellation
    /// Safe: the provider sees the connection close.
    pub async fn complete(&self, scope: &Scope, request: &ChatRequest) -> Result<Routed<ChatCompletion>> {
        let mut attempts = self.begin(request)?;
        loop {
            let attempt = attempts.next(scope)?;
            let request = attempts.request(&attempt);
            match attempt.deployment().upstream.provider.complete(scope, &request).await {
                Ok(answer) => {
                    let deployment = attempt.deployment().name.clone();
                    attempt.succeed();
                    return Ok(Routed { answer, deployment });
                }
                Err(error) => attempts.failed(attempt, error)?,
            }
        }
    }

    /// An answer in chunks. What comes before the first content is held back until there is some.
    ///
    /// # Errors
    /// As [`complete`](Self::complete), before the first content; after it, as the stream's last item.
    ///
    /// # Cancellation
    /// Safe: the provider sees the connection close.
    pub async fn stream(&self, scope: &Scope, request: &ChatRequest) -> Result<Routed<ChunkStream>> {
        let mut attempts = self.begin(request)?;
        loop {
            let attempt = attempts.next(scope)?;
            let request = attempts.request(&attempt);
            match stream::open(scope, &*attempt.deployment().upstream.provider, &request).await {
                Ok(opened) => {
                    let deployment = attempt.deployment().name.clone();
                    return Ok(Routed { answer: opened.committed(attempt), deployment });
                }
                Err(error) => attempts.failed(attempt, error)?,
            }
        }
    }

    fn begin<'a>(&'a self, request: &'a ChatRequest) -> Result<Attempts<'a>> {
        request.check()?;
        let chain = self.chain(&request.model)?;
        self.budget.deposit();
        Ok(Attempts::new(request, chain, &self.budget))
    }

    fn chain(&self, model: &str) -> Result<&[Arc<Deployment>]> {
        self.routes.get(model).map(Vec::as_slice).ok_or_else(|| {
            let message = match strict::nearest(model, self.models()) {
                Some(near) => format!("there is no model `{model}`; did you mean `{near}`?"),
                None => format!("there is no model `{model}`"),
            };
            Error::not_found("router.route", message).with_retry(Retry::Never)
        })
    }
}

fn unknown_provider<'a>(name: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    match strict::nearest(name, known.map(String::as_str)) {
        Some(near) => format!("names the provider `{name}`, which is not there; did you mean `{near}`?"),
        None => format!("names the provider `{name}`, which is not there"),
    }
}
