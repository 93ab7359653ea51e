//! Gives each request an id: the caller's, if it is well formed, or a new one.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::scope::RequestId;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Puts a [`RequestId`] into the request's extensions and `X-Request-Id` on the response.
///
/// A malformed id of the caller's is replaced, not refused. Cancel-safe; goes outermost.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestIdLayer;

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIdService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestIdService { inner }
    }
}

/// The service of [`RequestIdLayer`].
#[derive(Debug, Clone)]
pub struct RequestIdService<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for RequestIdService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = request
            .headers()
            .get(&HEADER)
            .and_then(|value| RequestId::parse(value.to_str().ok()?).ok())
            .unwrap_or_else(RequestId::generate);
        let header = HeaderValue::from_str(id.as_str()).ok();
        request.extensions_mut().insert(id);
        RequestIdFuture { inner: self.inner.call(request), header }
    }
}

pin_project! {
    /// The future of [`RequestIdService`].
    #[derive(Debug)]
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        header: Option<HeaderValue>,
    }
}

impl<F, R, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let (Ok(response), Some(id)) = (&mut result, this.header.take()) {
            response.headers_mut().insert(HEADER, id);
        }
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;

    async fn id_of(sent: Option<&str>) -> (String, String) {
        let seen = service_fn(async |request: Request<()>| {
            let id = request.extensions().get::<RequestId>().unwrap().to_string();
            Ok::<_, Infallible>(Response::new(id))
        });
        let mut request = Request::builder();
        if let Some(id) = sent {
            request = request.header("X-Request-Id", id);
        }
        let response = ServiceBuilder::new()
            .layer(RequestIdLayer)
            .service(seen)
            .oneshot(request.body(()).unwrap())
            .await
            .unwrap();
        let header = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        (header, response.into_body())
    }

    #[tokio::test]
    async fn a_well_formed_id_is_kept_inside_and_out() {
        assert_eq!(id_of(Some("abc-1")).await, ("abc-1".to_owned(), "abc-1".to_owned()));
    }

    #[tokio::test]
    async fn a_malformed_or_missing_id_is_replaced() {
        for sent in [None, Some("a b"), Some("")] {
            let (header, inside) = id_of(sent).await;
            assert_eq!(header, inside);
            assert_eq!(header.len(), 32, "{header}");
        }
    }
}
