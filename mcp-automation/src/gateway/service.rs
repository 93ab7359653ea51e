//! The gateway as a tower service.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use mcp_core::{Error, Result, Scope, audit::DenialLog, clock::Clock};
use serde_json::value::RawValue;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::{
    body::{self, Body},
    catalog::Catalog,
    config::GatewayConfig,
    dispatch,
    drain::InFlight,
    exchange::Exchange,
    guard::Guards,
    headers,
    method::Method,
    metrics::{Metrics, Outcome},
    modern::{self, Meta},
    path::Endpoint,
    respond,
    session::CallGuard,
    sessions::Sessions,
    shared::{Caller, Shared, Streams},
    subscriptions::Subscriptions,
};
use crate::{
    jsonrpc::{Envelope, Fault},
    upstream::Upstreams,
};

/// One MCP endpoint per tenant over many servers, for clients of every version with streamable HTTP.
///
/// A tower service for the paths `/mcp` (all servers of the tenant) and `/mcp/{server}` (one of them). It acts
/// for the [`Scope`] in the request's extensions and refuses a request without one. Clones share everything.
///
/// What it fails with, rather than answers, is for the layer that turns errors into responses: no scope,
/// unknown path, foreign origin, body over the limit or too slow, draining.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Shared>);

impl Gateway {
    /// A gateway in front of `upstreams`. Metrics go to the recorder that is installed now.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the setting.
    pub fn new(
        config: GatewayConfig,
        upstreams: Arc<dyn Upstreams>,
        clock: Arc<dyn Clock>,
        denials: Arc<dyn DenialLog>,
    ) -> Result<Self> {
        Self::guarded(config, upstreams, clock, denials, Guards::default())
    }

    /// The same gateway with `guards`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn guarded(
        config: GatewayConfig,
        upstreams: Arc<dyn Upstreams>,
        clock: Arc<dyn Clock>,
        denials: Arc<dyn DenialLog>,
        guards: Guards,
    ) -> Result<Self> {
        config.check()?;
        Ok(Self(Arc::new(Shared {
            catalog: Catalog::new(&config, clock.clone()),
            sessions: Sessions::new(config.sessions.clone(), clock.clone(), Metrics::sessions()),
            metrics: Metrics::register(),
            drain: Arc::default(),
            tasks: TaskTracker::new(),
            streams: Streams::default(),
            subscriptions: Subscriptions::default(),
            config,
            upstreams,
            clock,
            denials,
            guards,
        })))
    }

    /// Takes no more requests, waits for the calls in flight, at most for `bound`, and ends the rest. Returns
    /// how many were cut off.
    ///
    /// # Cancellation
    /// Safe: requests stay refused; calling it again goes on waiting.
    pub async fn drain(&self, bound: Duration) -> usize {
        let left = self.0.drain.run(bound).await;
        self.0.tasks.close();
        // Their calls have ended, so what is left to them is to hand over the last bytes.
        if tokio::time::timeout(Duration::from_secs(1), self.0.tasks.wait()).await.is_err() {
            tracing::info!("some streams were not read to their end");
        }
        left
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.sessions.len()
    }
}

/// A POST whose body is read.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) scope: Scope,
    pub(super) endpoint: Endpoint,
    pub(super) headers: HeaderMap,
    pub(super) in_flight: InFlight,
}

impl Shared {
    async fn handle<B>(self: Arc<Self>, request: Request<B>) -> Result<Response<Body>>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let Some(scope) = parts.extensions.get::<Scope>().cloned() else {
            return Err(Error::internal("gateway.scope", "the request was not authenticated"));
        };
        let Some(endpoint) = Endpoint::parse(parts.uri.path()) else {
            return Err(Error::not_found("gateway.path", "MCP is served at /mcp and /mcp/{server}"));
        };
        headers::check_origin(&self.config, &parts.uri, &parts.headers)?;
        let in_flight = self.drain.enter().ok_or_else(|| {
            Error::unavailable("gateway.drain", "this server is stopping; send the request again")
        })?;
        match parts.method {
            http::Method::POST => {
                if let Err((status, text)) = headers::check_media(&parts.headers) {
                    return Ok(respond::refuse_text(status, text));
                }
                let wait = scope.remaining(self.config.call_timeout);
                let read = tokio::time::timeout(wait, body::read(body, self.config.body_limit)).await;
                let bytes = read.unwrap_or_else(|_| Err(body::too_slow()))?;
                let scope = scope.with_deadline(Instant::now() + self.config.call_timeout);
                self.post(Posted { scope, endpoint, headers: parts.headers, in_flight }, &bytes).await
            }
            http::Method::GET => Ok(self.listen(scope, endpoint, &parts.headers)),
            http::Method::DELETE => Ok(self.delete(&scope, &endpoint, &parts.headers)),
            _ => {
                let mut response = respond::refuse_text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "send messages with POST, listen with GET, end a session with DELETE",
                );
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
                Ok(response)
            }
        }
    }

    async fn post(self: &Arc<Self>, posted: Posted, bytes: &Bytes) -> Result<Response<Body>> {
        let (envelope, shape) = match Envelope::parse(bytes) {
            Ok(parsed) => parsed,
            Err(fault) => return Ok(respond::refuse(StatusCode::BAD_REQUEST, None, &fault)),
        };
        let meta = Meta::of(envelope.params);
        if modern::is_stateless(&posted.headers, &envelope, &meta) {
            self.post_stateless(posted, envelope, shape, meta).await
        } else {
            self.post_legacy(posted, envelope, shape).await
        }
    }

    /// Begins a request whose form is right, if its principal may make it.
    ///
    /// # Errors
    /// None at present; refusals are responses.
    pub(super) async fn begin(
        self: &Arc<Self>,
        caller: Caller,
        method: Method,
        id: Box<str>,
        params: Option<&RawValue>,
        in_flight: InFlight,
        call: Option<CallGuard>,
    ) -> Result<Response<Body>> {
        if let Err(refusal) = self.check_permission(&caller, method, &id, params) {
            return Ok(*refusal);
        }
        let params = params.map(ToOwned::to_owned);
        let shared = self.clone();
        let exchange = Exchange { shared, caller: Arc::new(caller), method, id, params, in_flight, call };
        Ok(exchange.run().await)
    }

    /// Checks that the principal may make a request.
    ///
    /// # Errors
    /// The response to refuse with; the denial is audited.
    pub(super) fn check_permission(
        &self,
        caller: &Caller,
        method: Method,
        id: &str,
        params: Option<&RawValue>,
    ) -> Result<(), Box<Response<Body>>> {
        let Some(permission) = dispatch::permission(method, params) else { return Ok(()) };
        caller.scope.require(permission).map_err(|error| {
            self.deny(&caller.scope, permission, method.as_str());
            self.metrics.record(Some(method), Outcome::Denied, Duration::ZERO);
            Box::new(respond::insufficient_scope(id, &Fault::from(&error), permission))
        })
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.0.clone().handle(request))
    }
}
