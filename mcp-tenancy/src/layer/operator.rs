//! Finds out which operator sends a request.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, request::Parts};
use mcp_core::{Error, ErrorKind, PlatformScope, audit::DenialLog, scope::RequestId};
use tower::{Layer, Service};

use super::denial::Denials;
use crate::operator::{Operator, OperatorAuthenticator};

/// Characters of a path that the reason of a scope keeps.
const MAX_PATH: usize = 200;

/// Authenticates each request by an operator key and puts its [`PlatformScope`] and [`Operator`] into the
/// extensions.
///
/// The scope's actor is the key's principal, its reason the request's method and path, its request id the
/// request's. A refusal, of every key and token of a tenant too, is counted in
/// `mcp_auth_denied_total{reason}` and recorded in the platform's audit chain. Goes inside the rescue and
/// deadline layers. Cancel-safe.
#[derive(Debug, Clone)]
pub struct AuthenticateOperatorLayer {
    authenticator: Arc<OperatorAuthenticator>,
    denials: Denials,
}

impl AuthenticateOperatorLayer {
    /// Asks `authenticator`, records refusals in `log`.
    #[must_use]
    pub fn new(authenticator: Arc<OperatorAuthenticator>, log: Arc<dyn DenialLog>) -> Self {
        Self { authenticator, denials: Denials::new(log) }
    }
}

impl<S> Layer<S> for AuthenticateOperatorLayer {
    type Service = AuthenticateOperator<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthenticateOperator { inner, layer: self.clone() }
    }
}

/// The service of [`AuthenticateOperatorLayer`].
#[derive(Debug, Clone)]
pub struct AuthenticateOperator<S> {
    inner: S,
    layer: AuthenticateOperatorLayer,
}

impl<S, B> Service<Request<B>> for AuthenticateOperator<S>
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
        let AuthenticateOperatorLayer { authenticator, denials } = self.layer.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let operator = authenticator.authenticate(&head).await.inspect_err(|error| {
                if error.kind() == ErrorKind::Unauthenticated {
                    denials.anonymous(&head.extensions, error);
                }
            })?;
            let scope = scope(&operator, &head);
            head.extensions.insert(scope);
            head.extensions.insert(operator);
            inner.call(Request::from_parts(head, body)).await.map_err(Into::into)
        })
    }
}

fn scope(operator: &Operator, request: &Parts) -> PlatformScope {
    let path: String = request.uri.path().chars().take(MAX_PATH).collect();
    let scope = PlatformScope::new(operator.principal.clone(), format!("{} {path}", request.method));
    match request.extensions.get::<RequestId>() {
        Some(id) => scope.with_request_id(id.clone()),
        None => scope,
    }
}
