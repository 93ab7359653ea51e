//! Bounds how many requests run at once; the others wait their turn.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use super::PermitBody;
use crate::error::Error;

/// Runs at most `max` requests at once, until their response is sent; further ones wait in order. An event
/// stream counts until it begins.
///
/// Put [`LoadShedLayer`](super::LoadShedLayer) outside it, so that the queue has a bound. Cancel-safe: a
/// request that stops waiting leaves the queue.
#[derive(Debug, Clone)]
pub struct ConcurrencyLayer {
    permits: Arc<Semaphore>,
}

impl ConcurrencyLayer {
    /// At most `max` requests at once, over all clones of the layer and its services.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)) }
    }
}

impl<S> Layer<S> for ConcurrencyLayer {
    type Service = Concurrency<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Concurrency { inner, permits: Arc::clone(&self.permits) }
    }
}

/// The service of [`ConcurrencyLayer`].
#[derive(Debug, Clone)]
pub struct Concurrency<S> {
    inner: S,
    permits: Arc<Semaphore>,
}

impl<S, B, R> Service<Request<B>> for Concurrency<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Error>,
    B: Send + 'static,
{
    type Response = Response<PermitBody<R>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; its clone takes its place.
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let permits = Arc::clone(&self.permits);
        Box::pin(async move {
            let permit = permits
                .acquire_owned()
                .await
                .map_err(|_| Error::unavailable("layer.concurrency", "the server is shutting down"))?;
            let response = ready.call(request).await.map_err(Into::into)?;
            Ok(PermitBody::tie(response, permit))
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tokio::sync::Notify;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_only_when_the_body_has_ended() {
        let service = ConcurrencyLayer::new(1).layer(service_fn(async |_: Request<()>| {
            Ok::<_, Error>(Response::new(Full::new(bytes::Bytes::from_static(b"x"))))
        }));
        let first = service.clone().oneshot(Request::new(())).await.unwrap();
        let mut second = Box::pin(service.clone().oneshot(Request::new(())));
        assert!(futures_util::poll!(&mut second).is_pending(), "two ran at once");
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn an_open_event_stream_occupies_no_place() {
        let service = ConcurrencyLayer::new(1).layer(service_fn(async |_: Request<()>| {
            let mut response = Response::new(Full::new(bytes::Bytes::from_static(b"x")));
            let stream = http::HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(http::header::CONTENT_TYPE, stream);
            Ok::<_, Error>(response)
        }));
        let open = service.clone().oneshot(Request::new(())).await.unwrap();
        service.oneshot(Request::new(())).await.unwrap();
        drop(open);
    }

    #[tokio::test]
    async fn a_cancelled_waiter_and_a_cancelled_runner_free_their_places() {
        let started = Arc::new(Notify::new());
        let notify = Arc::clone(&started);
        let service = ConcurrencyLayer::new(1).layer(service_fn(move |request: Request<bool>| {
            let started = Arc::clone(&notify);
            async move {
                if request.into_body() {
                    started.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, Error>(Response::new(Full::new(bytes::Bytes::new())))
            }
        }));
        let runner = tokio::spawn(service.clone().oneshot(Request::new(true)));
        started.notified().await;
        let mut waiter = Box::pin(service.clone().oneshot(Request::new(false)));
        assert!(futures_util::poll!(&mut waiter).is_pending());
        drop(waiter);
        runner.abort();
        assert!(runner.await.unwrap_err().is_cancelled());
        service.oneshot(Request::new(false)).await.unwrap();
    }
}
