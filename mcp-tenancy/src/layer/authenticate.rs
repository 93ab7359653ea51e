//! Finds out who sends a request.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::Request;
use mcp_core::{Error, ErrorKind, audit::DenialLog};
use tower::{Layer, Service};

use super::denial::Denials;
use crate::auth::Authenticators;

/// Authenticates each request and puts its [`Identity`](crate::auth::Identity) into the extensions.
///
/// A refusal is counted in `mcp_auth_denied_total{reason}` and recorded in the platform's audit chain. Goes
/// inside the rescue and deadline layers, outside [`TenantLayer`](super::TenantLayer). Cancel-safe.
#[derive(Debug, Clone)]
pub struct AuthenticateLayer {
    authenticators: Authenticators,
    denials: Denials,
}

impl AuthenticateLayer {
    /// Asks `authenticators`, records refusals in `log`.
    #[must_use]
    pub fn new(authenticators: Authenticators, log: Arc<dyn DenialLog>) -> Self {
        Self { authenticators, denials: Denials::new(log) }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate { inner, layer: Arc::new(self.clone()) }
    }
}

/// The service of [`AuthenticateLayer`].
#[derive(Debug, Clone)]
pub struct Authenticate<S> {
    inner: S,
    /// Behind one pointer: layers further out clone this for each request.
    layer: Arc<AuthenticateLayer>,
}

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Error: Into<Error>,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<S::Response, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut inner = super::take_ready(&mut self.inner);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let identity = layer.authenticators.authenticate(&head).await.inspect_err(|error| {
                if error.kind() == ErrorKind::Unauthenticated {
                    layer.denials.anonymous(&head.extensions, error);
                }
            })?;
            head.extensions.insert(identity);
            inner.call(Request::from_parts(head, body)).await.map_err(Into::into)
        })
    }
}
