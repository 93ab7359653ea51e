//! The router: a model's name, a chain of deployments behind it, and the way along the chain.
//!
//! * Each deployment has a circuit breaker; one that keeps failing is left alone, then tried with one request.
//! * Retries and fallbacks share one budget, so that a failure does not become a flood of requests.
//! * A `Retry-After` holds for every deployment behind the same upstream.
//! * A stream belongs to a deployment from its first content on. What comes before, such as the chunk that
//!   only tells the role, may be dropped for another deployment's; after it, an error ends the stream.
//! * A request that is at fault itself is refused as the provider refused it, and asked of nobody else.

mod breaker;
mod budget;
mod config;
mod failure;
mod peek;
mod report;
mod target;
mod used;
mod walk;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use mcp_core::{Error, Result, Scope, clock::Clock, error::Detail, strict};

pub use config::{BreakerConfig, BudgetConfig, Deployment, Route, RouterConfig};
pub use used::Used;

use self::{
    breaker::Breaker,
    budget::RetryBudget,
    target::{Target, Upstream},
    walk::Walk,
};
use crate::chat::{ChatCompletion, ChatProvider, ChatRequest, ChatStream};

/// Routes chats to deployments. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: RouterConfig,
    /// By model, each in the order in which it is asked.
    chains: BTreeMap<String, Vec<Arc<Target>>>,
    budget: RetryBudget,
    clock: Arc<dyn Clock>,
}

/// An answer, and who gave it.
#[derive(Debug)]
pub struct Routed {
    /// The answer.
    pub answer: ChatAnswer,
    /// `provider/model`.
    pub deployment: String,
    /// What it used, as far as the provider has said.
    pub used: Used,
}

/// What comes of a chat: what the request asked for.
pub enum ChatAnswer {
    /// The whole answer.
    Whole(ChatCompletion),
    /// The answer in chunks. The first content is there already.
    Stream(ChatStream),
}

impl std::fmt::Debug for ChatAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole(…)",
            Self::Stream(_) => "Stream(…)",
        })
    }
}

impl Router {
    /// A router over `providers`, with the time from `clock`.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the route: one that is there twice, names
    /// no deployment or an unknown provider; two providers of one name; a bound of zero.
    pub fn new(
        config: RouterConfig,
        providers: Vec<Arc<dyn ChatProvider>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        config.check()?;
        let mut known: BTreeMap<String, Arc<dyn ChatProvider>> = BTreeMap::new();
        for provider in providers {
            let name = provider.name().to_owned();
            if known.insert(name.clone(), provider).is_some() {
                return Err(config::refuse(format!("there are two providers with the name `{name}`")));
            }
        }
        let mut targets: HashMap<Deployment, Arc<Target>> = HashMap::new();
        let mut upstreams: HashMap<String, Arc<Upstream>> = HashMap::new();
        let mut chains = BTreeMap::new();
        for route in &config.routes {
            let mut chain = Vec::with_capacity(route.chain.len());
            for deployment in &route.chain {
                let provider = known
                    .get(&deployment.provider)
                    .ok_or_else(|| unknown_provider(route, deployment, &known))?;
                let upstream = Arc::clone(upstreams.entry(provider.upstream().to_owned()).or_default());
                let target = targets.entry(deployment.clone()).or_insert_with(|| {
                    let target = Target {
                        provider: Arc::clone(provider),
                        model: deployment.model.clone(),
                        breaker: Breaker::new(config.breaker),
                        upstream,
                        clock: Arc::clone(&clock),
                    };
                    report::breaker(&target, "closed");
                    Arc::new(target)
                });
                chain.push(Arc::clone(target));
            }
            chains.insert(route.model.clone(), chain);
        }
        let budget = RetryBudget::new(config.budget, clock.now());
        Ok(Self(Arc::new(Inner { config, chains, budget, clock })))
    }

    /// The models that callers may name, in order.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.0.chains.keys().map(String::as_str)
    }

    /// Requires that callers may name this model.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) with the nearest name.
    pub fn knows(&self, model: &str) -> Result<()> {
        if self.0.chains.contains_key(model) { Ok(()) } else { Err(self.unknown_model(model)) }
    }

    /// Answers a chat, whole or as a stream, as the request asks.
    ///
    /// The scope's deadline bounds a whole answer and the time to a stream's first content; where another
    /// deployment is left, an attempt gets half of what remains. A stream that has begun is bounded by its
    /// provider. An error in a stream is its last item.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) with the nearest name for an unknown model;
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), [`TooLarge`](mcp_core::ErrorKind::TooLarge) or
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) where a provider refuses the request itself. Where no
    /// deployment is left, an error that names each and why:
    /// [`RateLimited`](mcp_core::ErrorKind::RateLimited) if that is all that is wrong,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if none could be asked,
    /// [`DeadlineExceeded`](mcp_core::ErrorKind::DeadlineExceeded) by the scope's deadline, else
    /// [`Upstream`](mcp_core::ErrorKind::Upstream).
    ///
    /// # Cancellation
    /// Dropping the future or the stream ends the request at the provider.
    pub async fn chat(&self, scope: &Scope, request: &ChatRequest) -> Result<Routed> {
        let (model, chain) = self
            .0
            .chains
            .get_key_value(request.model())
            .ok_or_else(|| self.unknown_model(request.model()))?;
        Walk::new(&self.0, scope, request, model, chain).run().await
    }

    fn unknown_model(&self, model: &str) -> Error {
        let nearest = strict::nearest(model, self.models());
        let hint = match nearest {
            Some(near) => format!("; did you mean `{near}`?"),
            None => "; /v1/models lists those that are there".to_owned(),
        };
        let shown: String = model.chars().take(64).collect();
        let field = Detail::Field { path: "model".to_owned(), nearest: nearest.map(str::to_owned) };
        Error::not_found("router.route", format!("there is no model `{shown}`{hint}")).with_detail(field)
    }
}

fn unknown_provider(
    route: &Route,
    deployment: &Deployment,
    known: &BTreeMap<String, Arc<dyn ChatProvider>>,
) -> Error {
    let hint = match strict::nearest(&deployment.provider, known.keys().map(String::as_str)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let Route { model, .. } = route;
    config::refuse(format!("the route `{model}` names the unknown provider `{}`{hint}", deployment.provider))
}
