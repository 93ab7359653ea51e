//! Refuses at once what would only wait.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::PermitBody;
use crate::error::{Detail, Error};

/// Refuses requests while `max` are running or waiting inside, with
/// [`Unavailable`](crate::ErrorKind::Unavailable) and a hint to retry after a second.
///
/// Refusing costs one atomic operation, so an overloaded server stays able to say so. Cancel-safe.
#[derive(Debug, Clone)]
pub struct LoadShedLayer {
    permits: Arc<Semaphore>,
}

impl LoadShedLayer {
    /// At most `max` requests inside, over all clones of the layer and its services.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)) }
    }
}

impl<S> Layer<S> for LoadShedLayer {
    type Service = LoadShed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LoadShed { inner, permits: Arc::clone(&self.permits) }
    }
}

/// The service of [`LoadShedLayer`].
#[derive(Debug, Clone)]
pub struct LoadShed<S> {
    inner: S,
    permits: Arc<Semaphore>,
}

impl<S, B, R> Service<Request<B>> for LoadShed<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    type Response = Response<PermitBody<R>>;
    type Error = Error;
    type Future = LoadShedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => LoadShedFuture { inner: Some(self.inner.call(request)), permit: Some(permit) },
            Err(_) => LoadShedFuture { inner: None, permit: None },
        }
    }
}

pin_project! {
    /// The future of [`LoadShed`].
    #[derive(Debug)]
    pub struct LoadShedFuture<F> {
        #[pin]
        inner: Option<F>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<F, R, E> Future for LoadShedFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<Error>,
{
    type Output = Result<Response<PermitBody<R>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.inner.as_pin_mut() {
            Some(inner) => ready!(inner.poll(cx)).map_err(Into::into),
            None => Err(overloaded()),
        };
        Poll::Ready(response.and_then(|response| match this.permit.take() {
            Some(permit) => Ok(PermitBody::tie(response, permit)),
            None => Err(overloaded()),
        }))
    }
}

fn overloaded() -> Error {
    Error::unavailable("layer.load_shed", "the server is at its limit of concurrent requests; try again")
        .with_detail(Detail::RetryAfter(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn the_request_over_the_limit_is_refused_and_the_next_is_not() {
        let service = LoadShedLayer::new(1).layer(service_fn(async |_: Request<()>| {
            Ok::<_, Error>(Response::new(Full::new(bytes::Bytes::from_static(b"x"))))
        }));
        let open = service.clone().oneshot(Request::new(())).await.unwrap();
        let error = service.clone().oneshot(Request::new(())).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        drop(open);
        service.oneshot(Request::new(())).await.unwrap();
    }
}
