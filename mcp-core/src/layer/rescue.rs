//! Errors become responses here and nowhere else.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::{CatchUnwind, FutureExt};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Challenge, StepUp};
use crate::{
    error::{Detail, Error, ErrorKind, Problem},
    scope::RequestId,
};

/// The body behind [`RescueLayer`]: the service's own, or a problem document.
pub type RescueBody<B> = Either<B, Full<Bytes>>;

/// Writes the body of an error: its media type and its bytes. It must not fail.
pub type ErrorBody = fn(&Error, Option<&RequestId>) -> (&'static str, Bytes);

const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Turns every error from inside, a panic included, into a response and one log line.
///
/// The body is an RFC 9457 problem document, except below paths whose wire has error bodies of its own
/// ([`body_under`](Self::body_under)).
///
/// The caller gets the message and the typed details; causes and context pairs reach the log only. A 401, and
/// a 403 for a missing permission, carry the `WWW-Authenticate` of a [`Challenge`], a 429 `Retry-After` and
/// `RateLimit-*`. Cancel-safe.
#[derive(Debug, Clone, Default)]
pub struct RescueLayer {
    challenge: Challenge,
    bodies: Vec<(&'static str, ErrorBody)>,
}

impl RescueLayer {
    /// With `challenge` for those who need credentials, or better ones. The default is the bare scheme.
    #[must_use]
    pub const fn new(challenge: Challenge) -> Self {
        Self { challenge, bodies: Vec::new() }
    }

    /// The same, with errors at `path` and below it written by `body`.
    #[must_use]
    pub fn body_under(mut self, path: &'static str, body: ErrorBody) -> Self {
        self.bodies.push((path, body));
        self
    }
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rescue { inner, layer: Arc::new(self.clone()), not_ready: None }
    }
}

/// The service of [`RescueLayer`].
#[derive(Debug)]
pub struct Rescue<S> {
    inner: S,
    layer: Arc<RescueLayer>,
    /// Why the inner service cannot take the next request, which is then answered with this.
    not_ready: Option<Error>,
}

impl<S: Clone> Clone for Rescue<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone(), not_ready: None }
    }
}

impl<S, B, R> Service<Request<B>> for Rescue<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    type Response = Response<RescueBody<R>>;
    type Error = std::convert::Infallible;
    type Future = RescueFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Err(error) = ready!(self.inner.poll_ready(cx)) {
            self.not_ready = Some(error.into());
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request_id = request.extensions().get::<RequestId>().cloned();
        let path = request.uri().path();
        let below = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let own = self.layer.bodies.iter().find(|(prefix, _)| below(prefix));
        let body = own.map_or(problem as ErrorBody, |(_, body)| *body);
        let outcome = match self.not_ready.take() {
            Some(error) => Outcome::NotReady { error: Some(error) },
            None => Outcome::Running { inner: AssertUnwindSafe(self.inner.call(request)).catch_unwind() },
        };
        RescueFuture { outcome, request_id, layer: self.layer.clone(), body }
    }
}

/// The error of a handler that must answer with a response, because its framework knows no failing services
/// (axum): it answers with this in the response's extensions, and [`RescueLayer`] answers in its place.
#[derive(Debug, Clone)]
pub struct Failed(Arc<Error>);

impl Failed {
    /// A response that stands for `error` until [`RescueLayer`] meets it.
    #[must_use]
    pub fn response<B: Default>(error: Error) -> Response<B> {
        let mut response = Response::new(B::default());
        // What a caller sees should the layer be missing: a failure, and nothing else.
        *response.status_mut() = error.kind().status();
        response.extensions_mut().insert(Self(Arc::new(error)));
        response
    }

    /// The error that a response stands for, for a caller without [`RescueLayer`] above it.
    #[must_use]
    pub fn take<B>(response: &mut Response<B>) -> Option<Error> {
        let Self(error) = response.extensions_mut().remove()?;
        let retell = |told: Arc<Error>| Error::new(told.kind(), told.operation(), told.message().to_owned());
        Some(Arc::try_unwrap(error).unwrap_or_else(retell))
    }
}

pin_project! {
    #[project = OutcomeProjection]
    #[derive(Debug)]
    enum Outcome<F> {
        Running { #[pin] inner: CatchUnwind<AssertUnwindSafe<F>> },
        NotReady { error: Option<Error> },
    }
}

pin_project! {
    /// The future of [`Rescue`].
    #[derive(Debug)]
    pub struct RescueFuture<F> {
        #[pin]
        outcome: Outcome<F>,
        request_id: Option<RequestId>,
        layer: Arc<RescueLayer>,
        body: ErrorBody,
    }
}

impl<F, R, E> Future for RescueFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<Error>,
{
    type Output = Result<Response<RescueBody<R>>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let defect = || Error::internal("layer.rescue", "the server met a defect of its own");
        let mut written = HeaderMap::new();
        let error = match this.outcome.project() {
            OutcomeProjection::NotReady { error } => Arc::new(error.take().unwrap_or_else(defect)),
            OutcomeProjection::Running { inner } => match ready!(inner.poll(cx)) {
                Ok(Ok(mut response)) => match response.extensions_mut().remove() {
                    Some(Failed(error)) => {
                        written = std::mem::take(response.headers_mut());
                        error
                    }
                    None => {
                        if let Some(StepUp(scope)) = response.extensions_mut().remove() {
                            let value = this.layer.challenge.step_up(scope);
                            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
                        }
                        return Poll::Ready(Ok(response.map(Either::Left)));
                    }
                },
                Ok(Err(error)) => Arc::new(error.into()),
                Err(_panic) => Arc::new(defect()),
            },
        };
        log(&error, this.request_id.as_ref());
        let mut response =
            error_response(&error, this.request_id.as_ref(), &this.layer.challenge, *this.body);
        add_missing(response.headers_mut(), written);
        Poll::Ready(Ok(response.map(Either::Right)))
    }
}

/// Keeps what the layers between the handler and this one wrote, the figures of a limit for instance; not what
/// described the body that is replaced.
fn add_missing(headers: &mut HeaderMap, written: HeaderMap) {
    let mut name = None;
    for (next, value) in written {
        // Further values of a name come without it.
        name = next.or(name);
        if let Some(name) = name.as_ref().filter(|name| !name.as_str().starts_with("content-"))
            && !headers.contains_key(name)
        {
            headers.insert(name, value);
        }
    }
}

fn log(error: &Error, request_id: Option<&RequestId>) {
    let request_id = request_id.map(RequestId::as_str);
    let kind = error.kind().as_str();
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Corrupted => {
            tracing::error!(request_id, kind, error = error.report(), "request failed");
        }
        ErrorKind::Unavailable | ErrorKind::Upstream | ErrorKind::DeadlineExceeded => {
            tracing::warn!(request_id, kind, error = error.report(), "request failed");
        }
        _ => tracing::info!(request_id, kind, error = error.report(), "request refused"),
    }
}

/// The body of an error as a problem document.
fn problem(error: &Error, request_id: Option<&RequestId>) -> (&'static str, Bytes) {
    // A problem document holds strings and numbers only, so writing it cannot fail.
    let body = serde_json::to_vec(&Problem::new(error, request_id)).unwrap_or_default();
    (Problem::CONTENT_TYPE, Bytes::from(body))
}

/// The response of an error: its body and the headers its details ask for.
#[must_use]
pub fn error_response(
    error: &Error,
    request_id: Option<&RequestId>,
    challenge: &Challenge,
    body: ErrorBody,
) -> Response<Full<Bytes>> {
    let (media_type, body) = body(error, request_id);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = error.kind().status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    challenge.write(error, headers);
    for detail in error.details() {
        match detail {
            Detail::RetryAfter(wait) => {
                headers.insert(header::RETRY_AFTER, crate::error::seconds_rounded_up(*wait).into());
            }
            Detail::RateLimit { limit, remaining, reset } => {
                headers.insert(RATE_LIMIT_LIMIT, (*limit).into());
                headers.insert(RATE_LIMIT_REMAINING, (*remaining).into());
                headers.insert(RATE_LIMIT_RESET, crate::error::seconds_rounded_up(*reset).into());
            }
            _ => {}
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn rescued(error: fn() -> Error) -> (http::response::Parts, serde_json::Value) {
        let service = RescueLayer::default().layer(service_fn(move |_: Request<()>| {
            std::future::ready(Err::<Response<Full<Bytes>>, _>(error()))
        }));
        let response = service.oneshot(Request::new(())).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn an_error_becomes_a_problem_document_without_its_cause() {
        let (parts, body) = rescued(|| {
            Error::unauthenticated("auth.verify", "the credentials are not valid")
                .with_context("kid", "k1")
                .with_source("signature mismatch")
        })
        .await;
        assert_eq!(parts.status, StatusCode::UNAUTHORIZED);
        assert_eq!(parts.headers[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(parts.headers[header::CONTENT_TYPE], "application/problem+json");
        let text = body.to_string();
        assert!(!text.contains("signature") && !text.contains("k1"), "{text}");
    }

    #[tokio::test]
    async fn below_a_path_with_bodies_of_its_own_errors_have_those() {
        let layer = RescueLayer::default().body_under("/v1", |error, _| {
            ("application/json", Bytes::from(format!("{{\"error\":{:?}}}", error.kind().as_str())))
        });
        let service = layer.layer(service_fn(async |_: Request<()>| {
            Err::<Response<Full<Bytes>>, _>(Error::unauthenticated("test", "no"))
        }));
        for (path, own) in [("/v1", true), ("/v1/models", true), ("/v10", false), ("/api/v1", false)] {
            let response = service.clone().oneshot(Request::get(path).body(()).unwrap()).await.unwrap();
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&body[..] == b"{\"error\":\"unauthenticated\"}", own, "{path}: {body:?}");
        }
    }

    #[tokio::test]
    async fn a_handler_that_cannot_fail_fails_by_its_response() {
        let service = RescueLayer::default().layer(service_fn(async |_: Request<()>| {
            Ok::<_, Error>(Failed::response::<Full<Bytes>>(Error::not_found("test", "no such thing")))
        }));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("no such thing"));
    }

    #[tokio::test]
    async fn what_layers_below_wrote_stays_beside_a_failed_handlers_error() {
        let service = RescueLayer::default().layer(service_fn(async |_: Request<()>| {
            let mut response = Failed::response::<Full<Bytes>>(Error::not_found("test", "no such thing"));
            response.headers_mut().insert("ratelimit-remaining", HeaderValue::from_static("7"));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            Ok::<_, Error>(response)
        }));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.headers()["ratelimit-remaining"], "7");
        assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[tokio::test]
    async fn a_missing_permission_is_challenged_for_whoever_writes_the_body() {
        let metadata = "https://platform.example/.well-known/oauth-protected-resource";
        let layer = RescueLayer::new(Challenge::new(metadata).unwrap());
        let service = layer.layer(service_fn(async |_: Request<()>| {
            let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
            *response.status_mut() = StatusCode::FORBIDDEN;
            response.extensions_mut().insert(StepUp("tools:call"));
            Ok::<_, Error>(response)
        }));
        let response = service.oneshot(Request::new(())).await.unwrap();
        let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
        assert!(challenge.contains("scope=\"tools:call\"") && challenge.contains(metadata), "{challenge}");
    }

    #[tokio::test]
    async fn a_rate_limit_travels_as_headers() {
        let (parts, _) = rescued(|| {
            Error::new(ErrorKind::RateLimited, "limit.check", "too many requests")
                .with_detail(Detail::RetryAfter(Duration::from_millis(500)))
                .with_detail(Detail::RateLimit { limit: 60, remaining: 0, reset: Duration::from_secs(7) })
        })
        .await;
        assert_eq!(parts.status, StatusCode::TOO_MANY_REQUESTS);
        for (name, value) in [
            ("retry-after", "1"),
            ("ratelimit-limit", "60"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "7"),
        ] {
            assert_eq!(parts.headers[name], value, "{name}");
        }
    }

    #[tokio::test]
    async fn a_panic_becomes_a_500_that_tells_nothing() {
        let service = RescueLayer::default().layer(service_fn(
            async |_: Request<()>| -> Result<Response<Full<Bytes>>, Error> { panic!("secret state") },
        ));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("secret"));
    }
}
