//! Bounds the time until a response begins.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Request;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::{Layer, Service};

use crate::error::Error;

/// When the caller stops waiting; in the request's extensions inside [`DeadlineLayer`], so that the scope
/// made further in carries it to every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

/// Fails a request with [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) if its response has not
/// begun within a time.
///
/// A response that has begun may stream on: streams have bounds of their own. The inner future is dropped at
/// the deadline, so what is inside must be cancel-safe.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    limit: Duration,
}

impl DeadlineLayer {
    /// Responses begin within `limit`.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, limit: self.limit }
    }
}

/// The service of [`DeadlineLayer`].
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    inner: S,
    limit: Duration,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>>,
    S::Error: Into<Error>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let at = tokio::time::Instant::now() + self.limit;
        request.extensions_mut().insert(Deadline(at.into_std()));
        DeadlineFuture {
            inner: self.inner.call(request),
            sleep: tokio::time::sleep_until(at),
            limit: self.limit,
        }
    }
}

pin_project! {
    /// The future of [`DeadlineService`].
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Sleep,
        limit: Duration,
    }
}

impl<F, T, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result.map_err(Into::into));
        }
        this.sleep.poll(cx).map(|()| {
            Err(Error::new(
                crate::ErrorKind::DeadlineExceeded,
                "layer.deadline",
                format!("no answer within {:?}", this.limit),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_fails_at_the_deadline() {
        let service = DeadlineLayer::new(Duration::from_secs(3)).layer(service_fn(async |_: Request<()>| {
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        }));
        let start = tokio::time::Instant::now();
        let error = service.oneshot(Request::new(())).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::DeadlineExceeded);
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test]
    async fn the_deadline_is_there_for_what_is_inside() {
        let service =
            DeadlineLayer::new(Duration::from_secs(3)).layer(service_fn(async |request: Request<()>| {
                Ok::<_, Error>(request.extensions().get::<Deadline>().copied())
            }));
        assert!(service.oneshot(Request::new(())).await.unwrap().is_some());
    }
}
