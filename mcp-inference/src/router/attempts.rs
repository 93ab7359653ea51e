//! One request on its way through a chain of deployments.

use std::{borrow::Cow, sync::Arc, time::Duration};

use mcp_core::{
    Error, ErrorKind, Result, Scope,
    error::{Detail, Retry},
};

use super::{
    budget::RetryBudget,
    deployment::{Attempt, Deployment},
};
use crate::chat::ChatRequest;

pub(super) struct Attempts<'a> {
    request: &'a ChatRequest,
    left: std::slice::Iter<'a, Arc<Deployment>>,
    budget: &'a RetryBudget,
    asked: u32,
    /// What each deployment came to, for the caller.
    told: Vec<String>,
    /// The same for programs: whether all asked for a pause, and the shortest.
    only_limited: bool,
    shortest: Option<Duration>,
    /// The last failure, for the log.
    last: Option<Error>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(
        request: &'a ChatRequest,
        chain: &'a [Arc<Deployment>],
        budget: &'a RetryBudget,
    ) -> Self {
        let left = chain.iter();
        Self {
            request,
            left,
            budget,
            asked: 0,
            told: Vec::new(),
            only_limited: true,
            shortest: None,
            last: None,
        }
    }

    /// Leave to ask the next deployment that takes requests.
    pub(super) fn next(&mut self, scope: &Scope) -> Result<Attempt> {
        while let Some(deployment) = self.left.next() {
            if scope.remaining(Duration::MAX).is_zero() {
                return Err(self.too_late());
            }
            match deployment.admit() {
                Err((why, wait)) => {
                    self.only_limited &= why.contains("pause");
                    self.shortest = Some(self.shortest.map_or(wait, |shortest| shortest.min(wait)));
                    self.told.push(format!("{}: {why}", deployment.name));
                }
                Ok(_unused) if self.asked > 0 && !self.budget.withdraw() => {
                    self.only_limited = false;
                    self.told.push(format!("{}: not asked, too many retries already", deployment.name));
                    break;
                }
                Ok(attempt) => {
                    self.asked += 1;
                    return Ok(attempt);
                }
            }
        }
        Err(self.none_left())
    }

    /// The request as this deployment is to get it.
    pub(super) fn request(&self, attempt: &Attempt) -> ChatRequest {
        ChatRequest { model: attempt.deployment().model.clone(), ..self.request.clone() }
    }

    /// Notes a failure.
    ///
    /// # Errors
    /// The failure itself where no other deployment could do better.
    pub(super) fn failed(&mut self, attempt: Attempt, error: Error) -> Result<()> {
        let name = attempt.deployment().name.clone();
        attempt.fail(&error);
        if error.retry() == Retry::Never {
            return Err(error);
        }
        self.only_limited &= error.kind() == ErrorKind::RateLimited;
        if let Some(wait) = error.retry_after() {
            self.shortest = Some(self.shortest.map_or(wait, |shortest| shortest.min(wait)));
        }
        tracing::info!(deployment = name, error = error.report(), "a deployment did not answer");
        self.told.push(format!("{name}: {}", error.message()));
        self.last = Some(error);
        Ok(())
    }

    fn too_late(&mut self) -> Error {
        let told = self.told();
        let message = format!("no deployment of `{}` answered before the deadline{told}", self.request.model);
        Error::new(ErrorKind::DeadlineExceeded, "router.chat", message)
    }

    fn none_left(&mut self) -> Error {
        let kind = if self.only_limited { ErrorKind::RateLimited } else { ErrorKind::Unavailable };
        let message = format!("no deployment of `{}` answers{}", self.request.model, self.told());
        let error = Error::new(kind, "router.chat", message).with_retry(Retry::Exhausted);
        let error = match self.shortest {
            Some(wait) => error.with_detail(Detail::RetryAfter(wait)),
            None => error,
        };
        match self.last.take() {
            Some(last) => error.with_source(last),
            None => error,
        }
    }

    fn told(&self) -> Cow<'static, str> {
        if self.told.is_empty() { "".into() } else { format!(" ({})", self.told.join("; ")).into() }
    }
}
