//! The layers a call passes, as a request does.

use std::{fmt, future::Future, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Empty, combinators::UnsyncBoxBody};
use mcp_core::{
    Error, Result, Scope,
    key::Secret,
    layer::{ConcurrencyLayer, DeadlineLayer, LoadShedLayer, RequestIdLayer},
};
use mcp_tenancy::layer::{AuthenticateLayer, RateLimitLayer, TenantLayer};
use tokio::sync::oneshot;
use tower::{BoxError, ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use crate::{app::authorize, platform::Platform};

/// What is to be done once it is known for whom.
type Job = Box<dyn FnOnce(Scope) -> BoxFuture<'static, Result<()>> + Send>;
type Nothing = UnsyncBoxBody<Bytes, BoxError>;

/// The stack of [`app`](crate::app()) for calls that are no HTTP requests.
pub(super) struct Admission(BoxCloneSyncService<Request<Job>, Response<Nothing>, Error>);

impl Admission {
    pub(super) fn new(platform: &Platform) -> Self {
        let server = &platform.config().server;
        let (tenancy, denials) = (platform.tenancy(), platform.denials());
        // In the order of `app`, where the reasons stand; rescue is missing, as errors are returned here.
        let stack = ServiceBuilder::new()
            .layer(RequestIdLayer)
            .layer(LoadShedLayer::new(server.max_running.saturating_add(server.max_waiting)))
            .layer(DeadlineLayer::new(Duration::from_secs(server.request_timeout_seconds)))
            .layer(ConcurrencyLayer::new(server.max_running))
            .layer(AuthenticateLayer::new(platform.identity().authenticators(), denials.clone()))
            .layer(TenantLayer::new(tenancy.directory().clone(), denials.clone()))
            .layer(RateLimitLayer::new(platform.limiter(), denials).with_policy(platform.limit_policy()))
            .layer(platform.at_once())
            .layer(authorize(platform))
            .service(service_fn(run));
        let stack = stack.map_response(|response| {
            response.map(|body| body.map_err(Into::<BoxError>::into).boxed_unsync())
        });
        Self(BoxCloneSyncService::new(stack))
    }

    /// Does `job` for whom `key` speaks for, as a request of this method and path would be done.
    ///
    /// # Errors
    /// What the layers refuse with, or the job's own.
    ///
    /// # Cancellation
    /// As the job: it is dropped where the caller, the deadline or the tenant's end cuts it.
    pub(super) async fn run<T, F>(
        &self,
        key: &Secret<String>,
        (method, path): (Method, &str),
        job: impl FnOnce(Scope) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        // Whatever is no header's value is no key either.
        let credential = HeaderValue::try_from(format!("Bearer {}", key.expose()));
        let mut credential = credential.unwrap_or(HeaderValue::from_static("Bearer -"));
        credential.set_sensitive(true);
        let (send, done) = oneshot::channel();
        let job: Job = Box::new(move |scope| {
            async move {
                let value = job(scope).await?;
                // Nobody waits any more where the caller was cancelled just now.
                let _ = send.send(value);
                Ok(())
            }
            .boxed()
        });
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, credential).body(job);
        // What can be wrong with it is the path, in which the caller's words are.
        let request = request.map_err(|error| Error::invalid_input("embedded.request", error.to_string()))?;
        self.pass(request).await?;
        done.await.map_err(|_| Error::internal("embedded.request", "a call ended without a result"))
    }

    /// Boxed in a function of its own: what callers await must not depend on the stack's type.
    fn pass(&self, request: Request<Job>) -> BoxFuture<'static, Result<()>> {
        self.0.clone().oneshot(request).map_ok(drop).boxed()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

async fn run(request: Request<Job>) -> Result<Response<Empty<Bytes>>> {
    let (mut head, job) = request.into_parts();
    let scope = head.extensions.remove::<Scope>();
    let scope = scope.ok_or_else(|| Error::internal("embedded.request", "the call was not authenticated"))?;
    job(scope).await?;
    Ok(Response::new(Empty::new()))
}
