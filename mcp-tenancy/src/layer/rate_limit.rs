//! Holds a tenant to its requests a minute, and those who act for it to theirs.

use std::{
    num::NonZeroU32,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, request::Parts};
use mcp_core::{
    Error, Result, Scope,
    audit::DenialLog,
    limit::{Decision, RateLimiter},
};
use tower::{Layer, Service};

use super::denial::Denials;
use crate::{auth::Identity, limit::LimitPolicy, tenant::KnownTenant};

/// Takes one from the tenant's `requests_per_minute` for each request, and one from each limit that a
/// [`LimitPolicy`] says it has beside that: of its principal, its API key, its route. All of them or none:
/// what one limit refuses uses up nothing of the others. The figures are those of the strictest.
///
/// Every response that passed carries `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, unless it is
/// itself the 429 of a limit further in; a refusal is 429 with these and `Retry-After`, recorded in the tenant's audit chain. If the limiter cannot
/// decide, the request is refused. Goes inside [`TenantLayer`](super::TenantLayer). Cancel-safe; a request
/// cancelled while the limiter is asked may have been counted.
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    limiter: Arc<dyn RateLimiter>,
    policy: Arc<LimitPolicy>,
    denials: Denials,
}

impl RateLimitLayer {
    /// Asks `limiter`, records refusals in `log`.
    #[must_use]
    pub fn new(limiter: Arc<dyn RateLimiter>, log: Arc<dyn DenialLog>) -> Self {
        Self { limiter, policy: Arc::default(), denials: Denials::new(log) }
    }

    /// The same layer with these limits beside the tenant's own. They were checked by
    /// [`LimitPolicy::validate`].
    #[must_use]
    pub fn with_policy(mut self, policy: Arc<LimitPolicy>) -> Self {
        self.policy = policy;
        self
    }

    pub(super) async fn check(&self, head: &Parts) -> Result<Option<Decision>> {
        let extensions = &head.extensions;
        let (Some(scope), Some(known)) = (extensions.get::<Scope>(), extensions.get::<Arc<KnownTenant>>())
        else {
            return Err(Error::internal("limit.check", "the server met a defect of its own")
                .with_context("cause", "RateLimitLayer is not inside TenantLayer"));
        };
        let count = known.tenant().profile.limits.requests_per_minute;
        let identity = extensions.get::<Identity>();
        let route = (&head.method, head.uri.path());
        let (limits, words) = self.policy.of(count, scope, identity, route);
        let decision = self.limiter.check(scope, &limits, NonZeroU32::MIN).await?;
        match decision.filter(|decision| !decision.allowed) {
            None => Ok(decision),
            Some(refused) => {
                if let Some(identity) = identity {
                    let reason = words.get(refused.index).copied().unwrap_or("over a limit");
                    self.denials.of(identity, "limit.denied", extensions, reason);
                }
                Err(refused.refusal())
            }
        }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit { inner, layer: Arc::new(self.clone()) }
    }
}

/// The service of [`RateLimitLayer`].
#[derive(Debug, Clone)]
pub struct RateLimit<S> {
    inner: S,
    /// Behind one pointer: layers further out clone this for each request.
    layer: Arc<RateLimitLayer>,
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
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
            let decision = layer.check(&head).await?;
            let mut response = inner.call(Request::from_parts(head, body)).await.map_err(Into::into)?;
            // A limit further in that refused has said when to come again.
            let refused = response.status() == StatusCode::TOO_MANY_REQUESTS;
            if let Some(decision) = decision.filter(|_| !refused) {
                decision.write_headers(response.headers_mut());
            }
            Ok(response)
        })
    }
}
