//! Finds out which tenant a request is for, and holds its calls and streams to that tenant's life.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Extensions, HeaderMap, HeaderName, Request, Response};
use http_body::Body;
use mcp_core::{
    Error, Result, Scope,
    audit::DenialLog,
    layer::Deadline,
    scope::{RequestId, TenantId, TraceContext},
};
use tower::{BoxError, Layer, Service};

use super::{StreamGuard, denial::Denials};
use crate::{
    auth::Identity,
    tenant::{KnownTenant, Refusal, TenantDirectory},
};

const X_TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// Resolves the tenant and puts [`Scope`] and `Arc<`[`KnownTenant`]`>` into the extensions.
///
/// The tenant is the one of the credential. `X-Tenant-ID` may name it too and must then agree. A header that
/// names another tenant, one that does not exist, none at all, or that comes twice or in another spelling
/// (`X_Tenant_ID`) gets one and the same 403, recorded in the audit chain of the credential's tenant.
///
/// A tenant that is suspended or deleted, whose organisation is, or whose data lives in a region that is served
/// elsewhere, is refused with a 403 that says so, before anything of it is looked at.
///
/// When the tenant is suspended, calls in flight are dropped and open streams end with an error, at once for
/// a suspension made in this process and within the directory's poll interval otherwise. What is inside must
/// be cancel-safe. A credential that expires or is revoked lets nothing new in, but ends no call or stream
/// that was let in before: only closing the tenant does.
///
/// Goes inside [`AuthenticateLayer`](super::AuthenticateLayer).
#[derive(Debug, Clone)]
pub struct TenantLayer {
    directory: Arc<TenantDirectory>,
    denials: Denials,
}

impl TenantLayer {
    /// Asks `directory`, records refusals in `log`.
    #[must_use]
    pub fn new(directory: Arc<TenantDirectory>, log: Arc<dyn DenialLog>) -> Self {
        Self { directory, denials: Denials::new(log) }
    }

    pub(super) async fn resolve(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Arc<KnownTenant>> {
        let identity = extensions.get::<Identity>().ok_or_else(no_identity)?;
        let deny = |reason| self.denials.of(identity, "tenant.denied", extensions, reason);
        let named = named_tenant(headers).inspect_err(|reason| deny(reason)).map_err(|_| foreign_tenant())?;
        if named.is_some_and(|named| named != identity.tenant) {
            deny("the header names another tenant");
            return Err(foreign_tenant());
        }
        let Some(known) = self.directory.resolve(&identity.tenant).await? else {
            deny("the tenant does not exist");
            return Err(foreign_tenant());
        };
        if let Some(refusal) = known.refusal() {
            deny(refusal.reason());
            return Err(refusal.error("tenant.resolve"));
        }
        Ok(known)
    }

    /// Why a tenant that could be used a moment ago no longer can.
    fn closed(&self, tenant: &TenantId) -> Error {
        match self.directory.get(tenant) {
            Err(lost) => lost,
            Ok(known) => {
                let refusal = known.as_ref().and_then(|known| known.refusal());
                // It may be open again by now; the call was cut all the same.
                refusal.unwrap_or(&Refusal::Suspended).error("tenant.resolve")
            }
        }
    }
}

/// Requires that `named`, a tenant's id from a path or body, is the scope's tenant.
///
/// # Errors
/// The [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) that [`TenantLayer`] answers too,
/// whether there is such a tenant or not.
pub fn require_own_tenant(scope: &Scope, named: &str) -> Result<()> {
    if named == scope.tenant().as_str() { Ok(()) } else { Err(foreign_tenant()) }
}

/// The tenant that the headers name: `Err` says why they are refused.
fn named_tenant(headers: &HeaderMap) -> Result<Option<TenantId>, &'static str> {
    // Proxies and CGI-like servers fold `_` into `-`; what they would take for the header must not pass as
    // another one here.
    let is_lookalike = |name: &HeaderName| *name != X_TENANT_ID && is_spelled_alike(name.as_str());
    if headers.keys().any(is_lookalike) {
        return Err("a header that looks like X-Tenant-ID");
    }
    let mut values = headers.get_all(&X_TENANT_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("X-Tenant-ID twice");
    }
    let id = value.to_str().ok().and_then(|text| TenantId::parse(text).ok());
    id.map(Some).ok_or("a malformed X-Tenant-ID")
}

fn is_spelled_alike(name: &str) -> bool {
    let letters = name.bytes().filter(|b| b.is_ascii_alphanumeric());
    letters.eq(*b"xtenantid")
}

fn foreign_tenant() -> Error {
    Error::permission_denied("tenant.resolve", "this tenant may not be used with these credentials")
}

fn no_identity() -> Error {
    Error::internal("tenant.resolve", "the server met a defect of its own")
        .with_context("cause", "TenantLayer is not inside AuthenticateLayer")
}

pub(super) fn scope_of(identity: &Identity, extensions: &Extensions) -> Scope {
    let request_id = extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::generate);
    let trace = extensions.get::<TraceContext>().copied().unwrap_or_else(TraceContext::generate);
    let scope = Scope::of_request(identity.tenant.clone(), identity.principal.clone(), request_id, trace);
    match extensions.get::<Deadline>() {
        Some(Deadline(at)) => scope.with_deadline(*at),
        None => scope,
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = ResolveTenant<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResolveTenant { inner, layer: Arc::new(self.clone()) }
    }
}

/// The service of [`TenantLayer`].
#[derive(Debug, Clone)]
pub struct ResolveTenant<S> {
    inner: S,
    /// Behind one pointer: layers further out clone this for each request.
    layer: Arc<TenantLayer>,
}

impl<S, B, R> Service<Request<B>> for ResolveTenant<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Error>,
    S::Future: Send,
    B: Send + 'static,
    R: Body,
    R::Error: Into<BoxError>,
{
    type Response = Response<StreamGuard<R>>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut inner = super::take_ready(&mut self.inner);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let known = layer.resolve(&head.headers, &head.extensions).await?;
            let identity = head.extensions.get::<Identity>().ok_or_else(no_identity)?;
            let scope = scope_of(identity, &head.extensions);
            let closed = known.closed().clone();
            head.extensions.insert(scope.clone());
            head.extensions.insert(known);
            let call = inner.call(Request::from_parts(head, body));
            match closed.run_until_cancelled(call).await {
                Some(response) => {
                    Ok(response.map_err(Into::into)?.map(|body| StreamGuard::new(body, closed)))
                }
                None => Err(layer.closed(scope.tenant())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_spelling_of_the_header_is_refused() {
        for name in ["x_tenant_id", "x-tenant_id", "x_tenant-id", "xtenantid", "x.tenant.id", "x--tenant-id"]
        {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), "acme".parse().unwrap());
            assert!(named_tenant(&headers).is_err(), "{name}");
        }
    }

    #[test]
    fn one_well_formed_header_names_the_tenant() {
        let mut headers = HeaderMap::new();
        assert_eq!(named_tenant(&headers), Ok(None));
        headers.insert("X-Tenant-ID", "acme".parse().unwrap());
        assert_eq!(named_tenant(&headers), Ok(Some(TenantId::parse("acme").unwrap())));
        headers.append("X-Tenant-ID", "acme".parse().unwrap());
        assert!(named_tenant(&headers).is_err());
        for value in ["", "Acme", "acme, acme", " acme", "a\u{e9}"] {
            let mut headers = HeaderMap::new();
            headers.insert("x-tenant-id", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert!(named_tenant(&headers).is_err(), "{value:?}");
        }
    }
}
