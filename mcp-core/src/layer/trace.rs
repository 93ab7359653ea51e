//! One span, one line and one measurement for each request.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use http::{Request, Response, StatusCode};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::{Level, Span};

use crate::scope::{RequestId, TraceContext};

/// Continues or starts the W3C trace of a request, opens a span around it, logs its end at `info` and
/// counts it: `mcp_http_requests_total{status="2xx"…}`, `mcp_http_request_seconds` (until the response
/// begins) and `mcp_http_requests_in_flight`.
///
/// Puts a [`TraceContext`] into the request's extensions. Cancel-safe: a request whose caller went away is
/// counted as `status="dropped"`.
#[derive(Debug, Clone)]
pub struct TraceLayer {
    metrics: Arc<Metrics>,
}

impl TraceLayer {
    /// Measures into the recorder installed now: make it after telemetry is set up.
    #[must_use]
    pub fn new() -> Self {
        Self { metrics: Arc::new(Metrics::register()) }
    }
}

impl Default for TraceLayer {
    fn default() -> Self {
        Self::new()
    }
}

/// Handles made once, so that a request formats no label.
struct Metrics {
    by_class: [Counter; 5],
    dropped: Counter,
    seconds: Histogram,
    in_flight: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    fn register() -> Self {
        let counted = |status: &'static str| counter!("mcp_http_requests_total", "status" => status);
        Self {
            by_class: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(counted),
            dropped: counted("dropped"),
            seconds: histogram!("mcp_http_request_seconds"),
            in_flight: gauge!("mcp_http_requests_in_flight"),
        }
    }

    fn count(&self, status: Option<StatusCode>) {
        match status.and_then(|status| self.by_class.get(usize::from(status.as_u16() / 100).wrapping_sub(1)))
        {
            Some(counter) => counter.increment(1),
            None => self.dropped.increment(1),
        }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Trace { inner, metrics: self.metrics.clone() }
    }
}

/// The service of [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct Trace<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B, R> Service<Request<B>> for Trace<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let trace =
            header.and_then(TraceContext::parse).map_or_else(TraceContext::generate, TraceContext::child);
        let span = if tracing::enabled!(Level::INFO) {
            tracing::info_span!(
                "request",
                method = %request.method(),
                path = request.uri().path(),
                request_id = request.extensions().get::<RequestId>().map(RequestId::as_str),
                trace_id = format_args!("{:032x}", trace.trace_id()),
            )
        } else {
            Span::none()
        };
        request.extensions_mut().insert(trace);
        let watch = Watch::start(self.metrics.clone());
        let inner = span.in_scope(|| self.inner.call(request));
        TraceFuture { inner, span, watch }
    }
}

/// Measures one request; counts it as dropped unless it is told otherwise.
struct Watch {
    metrics: Arc<Metrics>,
    start: Instant,
    status: Option<StatusCode>,
}

impl Watch {
    fn start(metrics: Arc<Metrics>) -> Self {
        metrics.in_flight.increment(1.0);
        Self { metrics, start: Instant::now(), status: None }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.metrics.in_flight.decrement(1.0);
        self.metrics.seconds.record(self.start.elapsed());
        self.metrics.count(self.status);
    }
}

pin_project! {
    /// The future of [`Trace`].
    pub struct TraceFuture<F> {
        #[pin]
        inner: F,
        span: Span,
        watch: Watch,
    }
}

impl<F, R, E> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let result = ready!(this.inner.poll(cx));
        if let Ok(response) = &result {
            this.watch.status = Some(response.status());
            let millis = this.watch.start.elapsed().as_secs_f64() * 1e3;
            tracing::info!(status = response.status().as_u16(), millis, "answered");
        }
        Poll::Ready(result)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[test]
    fn answered_and_dropped_requests_are_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let layer = metrics::with_local_recorder(&recorder, TraceLayer::new);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let service = layer.layer(service_fn(async |request: Request<()>| {
                assert!(request.extensions().get::<TraceContext>().is_some());
                if request.uri() == "/hang" {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(()))
            }));
            service.clone().oneshot(Request::new(())).await.unwrap();
            let mut hanging = Box::pin(service.oneshot(Request::builder().uri("/hang").body(()).unwrap()));
            assert!(futures_util::poll!(&mut hanging).is_pending());
        });
        let text = recorder.handle().render();
        assert!(text.contains("mcp_http_requests_total{status=\"2xx\"} 1"), "{text}");
        assert!(text.contains("mcp_http_requests_total{status=\"dropped\"} 1"), "{text}");
        assert!(text.contains("mcp_http_requests_in_flight 0"), "{text}");
    }
}
