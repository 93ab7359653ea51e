//! Bounds how many requests of one tenant run at once.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Extensions, Request, Response};
use mcp_core::{
    Error, ErrorKind, Result, Scope, audit::DenialLog, error::Detail, layer::PermitBody, scope::TenantId,
};
use tower::{Layer, Service};

use super::denial::Denials;
use crate::auth::Identity;

/// Runs at most `max` requests of each tenant at once, until their response is sent.
///
/// One more is refused at once with 429 and `Retry-After: 1`, recorded in the tenant's audit chain, and does
/// not wait: a tenant that sends more than it may must not fill the queue that all tenants share. An event
/// stream counts until it begins. However a request ends (answered, failed, dropped by its caller, in a
/// panic), its place is free again.
///
/// Only tenants with requests that run are remembered. Each process counts its own, so `n` replicas run at
/// most `n × max`. Goes inside [`TenantLayer`](super::TenantLayer), and inside
/// [`RateLimitLayer`](super::RateLimitLayer), so that what is refused counts as a request. Cancel-safe.
#[derive(Debug, Clone)]
pub struct TenantConcurrencyLayer {
    max: NonZeroU32,
    in_flight: Arc<InFlight>,
    denials: Denials,
}

/// How many requests of each tenant run; none has no entry.
#[derive(Debug, Default)]
struct InFlight(Mutex<HashMap<TenantId, u32>>);

impl InFlight {
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<TenantId, u32>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A place among a tenant's running requests, free again when this is dropped.
#[derive(Debug)]
pub struct InFlightPermit {
    in_flight: Arc<InFlight>,
    tenant: TenantId,
}

impl InFlightPermit {
    fn take(in_flight: &Arc<InFlight>, tenant: &TenantId, max: NonZeroU32) -> Option<Self> {
        let taken = in_flight.change(|counts| {
            let running = counts.get(tenant).copied().unwrap_or(0);
            if running < max.get() {
                counts.insert(tenant.clone(), running + 1);
            }
            running < max.get()
        });
        taken.then(|| Self { in_flight: in_flight.clone(), tenant: tenant.clone() })
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        self.in_flight.change(|counts| match counts.get_mut(&self.tenant) {
            Some(running) if *running > 1 => *running -= 1,
            _ => drop(counts.remove(&self.tenant)),
        });
    }
}

impl TenantConcurrencyLayer {
    /// At most `max` requests of each tenant at once, over all clones of the layer and its services; records
    /// refusals in `log`.
    #[must_use]
    pub fn new(max: NonZeroU32, log: Arc<dyn DenialLog>) -> Self {
        Self { max, in_flight: Arc::default(), denials: Denials::new(log) }
    }

    /// How many requests of the tenant run now.
    #[must_use]
    pub fn running(&self, tenant: &TenantId) -> u32 {
        self.in_flight.change(|counts| counts.get(tenant).copied().unwrap_or(0))
    }

    /// How many tenants have requests that run now.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.in_flight.change(|counts| counts.len())
    }

    fn enter(&self, extensions: &Extensions) -> Result<InFlightPermit> {
        let scope = extensions.get::<Scope>().ok_or_else(|| {
            Error::internal("limit.concurrency", "the server met a defect of its own")
                .with_context("cause", "TenantConcurrencyLayer is not inside TenantLayer")
        })?;
        InFlightPermit::take(&self.in_flight, scope.tenant(), self.max).ok_or_else(|| {
            if let Some(identity) = extensions.get::<Identity>() {
                self.denials.of(identity, "limit.denied", extensions, "too many requests at once");
            }
            let message =
                format!("at most {} requests of a tenant run at once; wait and try again", self.max);
            Error::new(ErrorKind::RateLimited, "limit.concurrency", message)
                .with_detail(Detail::RetryAfter(Duration::from_secs(1)))
        })
    }
}

impl<S> Layer<S> for TenantConcurrencyLayer {
    type Service = TenantConcurrency<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TenantConcurrency { inner, layer: Arc::new(self.clone()) }
    }
}

/// The service of [`TenantConcurrencyLayer`].
#[derive(Debug, Clone)]
pub struct TenantConcurrency<S> {
    inner: S,
    /// Behind one pointer: layers further out clone this for each request.
    layer: Arc<TenantConcurrencyLayer>,
}

impl<S, B, R> Service<Request<B>> for TenantConcurrency<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Error>,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<PermitBody<R, InFlightPermit>>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut inner = super::take_ready(&mut self.inner);
        let permit = self.layer.enter(request.extensions());
        Box::pin(async move {
            let permit = permit?;
            let response = inner.call(request).await.map_err(Into::into)?;
            Ok(PermitBody::tie(response, permit))
        })
    }
}
