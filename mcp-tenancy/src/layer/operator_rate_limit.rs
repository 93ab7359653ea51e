//! Holds an operator key to its requests a minute.

use std::{
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Extensions, Request, Response};
use mcp_core::{
    Error, PlatformScope, Result,
    audit::DenialLog,
    limit::{Decision, Limit, RateLimiter},
};
use tower::{Layer, Service};

use super::denial::Denials;
use crate::operator::Operator;

/// Takes one from the requests a minute of the operator's key for each request.
///
/// Answers as [`RateLimitLayer`](super::RateLimitLayer) does; refusals go into the platform's audit chain.
/// Goes inside [`AuthenticateOperatorLayer`](super::AuthenticateOperatorLayer). Cancel-safe; a request
/// cancelled while the limiter is asked may have been counted.
#[derive(Debug, Clone)]
pub struct OperatorRateLimitLayer {
    limiter: Arc<dyn RateLimiter>,
    per_minute: NonZeroU32,
    denials: Denials,
}

impl OperatorRateLimitLayer {
    /// `per_minute` requests for each key; asks `limiter`, records refusals in `log`.
    #[must_use]
    pub fn new(limiter: Arc<dyn RateLimiter>, per_minute: NonZeroU32, log: Arc<dyn DenialLog>) -> Self {
        Self { limiter, per_minute, denials: Denials::new(log) }
    }

    async fn check(&self, extensions: &Extensions) -> Result<Option<Decision>> {
        let (Some(scope), Some(operator)) = (extensions.get::<PlatformScope>(), extensions.get::<Operator>())
        else {
            return Err(Error::internal("limit.check", "the server met a defect of its own")
                .with_context("cause", "OperatorRateLimitLayer is not inside AuthenticateOperatorLayer"));
        };
        let limits = [Limit::per_minute(operator.credential.to_string().into(), self.per_minute)];
        let decision = self.limiter.check_platform(scope, &limits, NonZeroU32::MIN).await?;
        match decision.filter(|decision| !decision.allowed) {
            None => Ok(decision),
            Some(refused) => {
                self.denials.of_operator(operator, "limit.denied", extensions, "over requests a minute");
                Err(refused.refusal())
            }
        }
    }
}

impl<S> Layer<S> for OperatorRateLimitLayer {
    type Service = OperatorRateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OperatorRateLimit { inner, layer: self.clone() }
    }
}

/// The service of [`OperatorRateLimitLayer`].
#[derive(Debug, Clone)]
pub struct OperatorRateLimit<S> {
    inner: S,
    layer: OperatorRateLimitLayer,
}

impl<S, B, R> Service<Request<B>> for OperatorRateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Error>,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<R>, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut inner = super::take_ready(&mut self.inner);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let decision = layer.check(&head.extensions).await?;
            let mut response = inner.call(Request::from_parts(head, body)).await.map_err(Into::into)?;
            if let Some(decision) = decision {
                decision.write_headers(response.headers_mut());
            }
            Ok(response)
        })
    }
}
