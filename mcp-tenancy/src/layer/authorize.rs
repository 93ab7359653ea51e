//! Asks whether a request may do what it is for.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, request::Parts};
use mcp_core::{
    Error, Result, Scope,
    access::{Access, Action, Authorizer, Resource},
};
use tower::{Layer, Service};

use crate::role::RoleDirectory;

/// What a request is for, as far as its head tells.
pub trait AccessOf: Send + Sync {
    /// The action and resource that `request` is for; `None` where that is known further in alone, which asks
    /// then.
    ///
    /// # Errors
    /// What the caller gets: a request that cannot be read is refused.
    fn access_of(&self, scope: &Scope, request: &Parts) -> Result<Option<Access>>;
}

impl<F: Fn(&Scope, &Parts) -> Result<Option<Access>> + Send + Sync> AccessOf for F {
    fn access_of(&self, scope: &Scope, request: &Parts) -> Result<Option<Access>> {
        self(scope, request)
    }
}

/// The plainest [`AccessOf`]: `endpoints:call` on the endpoint of the request's path, with `method` and `path`
/// as circumstances.
///
/// # Errors
/// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a path of more than 1024 bytes.
pub fn endpoint(scope: &Scope, request: &Parts) -> Result<Option<Access>> {
    const CALL: Action = Action::constant("endpoints:call");
    let path = request.uri.path();
    let resource = Resource::of(scope, "endpoint", path)?;
    Ok(Some(Access::new(CALL, resource).with("method", request.method.as_str()).with("path", path)))
}

/// Asks an [`Authorizer`] about each request, and lets in what it allows.
///
/// A refusal is 403; who refuses records it. With [`with_roles`](Self::with_roles) the scope in the
/// extensions also gets the permissions of its principal's roles, for those inside that ask the scope alone.
/// Goes inside [`TenantLayer`](super::TenantLayer) and the limits, so that asking is limited too. Cancel-safe.
#[derive(Clone)]
pub struct AuthorizeLayer {
    authorizer: Arc<dyn Authorizer>,
    access: Arc<dyn AccessOf>,
    roles: Option<RoleDirectory>,
}

impl AuthorizeLayer {
    /// Asks `authorizer` for what `access` reads from each request.
    #[must_use]
    pub fn new(authorizer: Arc<dyn Authorizer>, access: Arc<dyn AccessOf>) -> Self {
        Self { authorizer, access, roles: None }
    }

    /// The same layer, with what roles allow added to the scope.
    #[must_use]
    pub fn with_roles(mut self, roles: RoleDirectory) -> Self {
        self.roles = Some(roles);
        self
    }

    /// The scope with which an allowed request goes on.
    async fn check(&self, head: &Parts) -> Result<Scope> {
        let scope = head.extensions.get::<Scope>().ok_or_else(|| {
            Error::internal("access.authorize", "the server met a defect of its own")
                .with_context("cause", "AuthorizeLayer is not inside TenantLayer")
        })?;
        if let Some(access) = self.access.access_of(scope, head)? {
            self.authorizer.authorize(scope, &access).await?;
        }
        match &self.roles {
            Some(roles) => roles.widen(scope).await,
            None => Ok(scope.clone()),
        }
    }
}

impl fmt::Debug for AuthorizeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer").field("authorizer", &self.authorizer).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorize { inner, layer: Arc::new(self.clone()) }
    }
}

/// The service of [`AuthorizeLayer`].
#[derive(Debug, Clone)]
pub struct Authorize<S> {
    inner: S,
    /// Behind one pointer: layers further out clone this for each request.
    layer: Arc<AuthorizeLayer>,
}

impl<S, B> Service<Request<B>> for Authorize<S>
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
            let scope = layer.check(&head).await?;
            head.extensions.insert(scope);
            inner.call(Request::from_parts(head, body)).await.map_err(Into::into)
        })
    }
}
