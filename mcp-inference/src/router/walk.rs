//! The way of one request along its chain.

use std::{sync::Arc, time::Duration};

use mcp_core::{Error, ErrorKind, Result, Scope, error::Retry};
use tokio::time::Instant;

use super::{
    ChatAnswer, Inner, Routed, Used,
    failure::{self, Left},
    peek, report,
    target::{Admission, Target},
    watch,
};
use crate::chat::ChatRequest;

/// Times that the chain is gone through.
const ROUNDS: u32 = 2;
/// The pause before the second time.
const BACKOFF: Duration = Duration::from_millis(100);
/// What failed slower than this is not asked a second time: the caller has waited long enough for it.
const QUICK: Duration = Duration::from_secs(5);
/// Stands for no deadline where there must be one.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// A request, its chain, and what has been tried.
pub(super) struct Walk<'a> {
    router: &'a Inner,
    scope: &'a Scope,
    request: &'a ChatRequest,
    model: &'a str,
    chain: &'a [Arc<Target>],
    tries: u32,
    left: Left,
    began: Instant,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        router: &'a Inner,
        scope: &'a Scope,
        request: &'a ChatRequest,
        model: &'a str,
        chain: &'a [Arc<Target>],
    ) -> Self {
        Self { router, scope, request, model, chain, tries: 0, left: Left::default(), began: Instant::now() }
    }

    pub(super) async fn run(mut self) -> Result<Routed> {
        let walked = self.along().await;
        if let Err(error) = &walked {
            report::refused(self.model, error);
        }
        walked
    }

    async fn along(&mut self) -> Result<Routed> {
        self.router.budget.earn(self.router.clock.now());
        let mut again: Vec<bool> = vec![true; self.chain.len()];
        for round in 0..ROUNDS {
            for (index, target) in self.chain.iter().enumerate() {
                if !again[index] || self.tries == self.router.config.attempts {
                    continue;
                }
                again[index] = false;
                let admission = match target.admit() {
                    Ok(admission) => admission,
                    Err((why, wait)) => {
                        self.left.skipped(target, why, wait);
                        continue;
                    }
                };
                if self.tries > 0 && !self.router.budget.spend(self.router.clock.now()) {
                    self.left.exhausted = true;
                    return Err(self.none_left());
                }
                if round > 0 {
                    tokio::time::sleep(self.scope.remaining(BACKOFF)).await;
                }
                if self.scope.remaining(FOREVER).is_zero() {
                    return Err(self.none_left());
                }
                self.tries += 1;
                let asked = Instant::now();
                match self.ask(admission, index + 1 < self.chain.len()).await {
                    Outcome::Answer(answer, used) => {
                        return Ok(Routed { answer, deployment: target.label(), used });
                    }
                    Outcome::Refused(error) => return Err(error),
                    Outcome::Failed(error) => {
                        again[index] = error.retry() == Retry::Maybe
                            && error.kind() != ErrorKind::RateLimited
                            && asked.elapsed() < QUICK;
                        self.note(target, error);
                    }
                }
            }
        }
        Err(self.none_left())
    }

    /// Asks one deployment; where another is left, only for half of the time that remains.
    async fn ask(&self, mut admission: Admission, others: bool) -> Outcome {
        let target = Arc::clone(admission.target());
        let left = self.scope.remaining(FOREVER);
        let share = if others && self.scope.deadline().is_some() { left / 2 } else { left };
        let began = Instant::now();
        let scope = self.scope.clone().with_deadline((began + share).into_std());
        let asked = self.answer(&scope, &target, share).await;
        report::attempt(&target, asked.as_ref().err(), began.elapsed());
        match asked {
            Ok(Answered::Whole(whole)) => {
                admission.succeeded();
                self.report(&target).done("ok", whole.usage);
                let used = Used::new(whole.usage);
                Outcome::Answer(ChatAnswer::Whole(whole), used)
            }
            Ok(Answered::Stream(begun)) => {
                let report = self.report(&target);
                let (stream, used) = watch::watch(begun, admission, report, self.request.wants_usage());
                Outcome::Answer(ChatAnswer::Stream(stream), used)
            }
            Err(error) if failure::blames_request(&error) => {
                admission.succeeded();
                Outcome::Refused(error)
            }
            Err(error) => {
                admission.failed(&error);
                Outcome::Failed(error)
            }
        }
    }

    async fn answer(&self, scope: &Scope, target: &Target, share: Duration) -> Result<Answered> {
        let (provider, model) = (&target.provider, &target.model);
        if !self.request.streams() {
            return provider.complete(scope, model, self.request).await.map(Answered::Whole);
        }
        let wait = share.min(self.router.config.first_content);
        let begun = async {
            let stream = provider.stream(scope, model, self.request).await?;
            peek::first_content(provider.name(), stream).await.map(Answered::Stream)
        };
        tokio::time::timeout(wait, begun).await.unwrap_or_else(|_| {
            let name = provider.name();
            let why = format!("the provider `{name}` gave no content within {wait:.1?}");
            Err(Error::new(ErrorKind::DeadlineExceeded, "router.ask", why))
        })
    }

    fn note(&mut self, target: &Target, error: Error) {
        tracing::warn!(
            tenant = %self.scope.tenant(), request_id = %self.scope.request_id(),
            model = self.model, deployment = target.label(), error = error.report(),
            "a deployment failed",
        );
        self.left.failed(target, error);
    }

    fn report(&self, target: &Arc<Target>) -> report::Answer {
        if self.tries > 1 || self.left.any() {
            report::fallback(self.model);
        }
        report::Answer::new(self.scope, self.model, target, self.tries, self.began)
    }

    fn none_left(&mut self) -> Error {
        let late = self.scope.remaining(FOREVER).is_zero();
        std::mem::take(&mut self.left).into_error(self.model, self.tries, late)
    }
}

enum Answered {
    Whole(crate::chat::ChatCompletion),
    Stream(peek::Begun),
}

enum Outcome {
    Answer(ChatAnswer, Used),
    /// The request itself is at fault.
    Refused(Error),
    Failed(Error),
}
