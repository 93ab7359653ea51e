//! Routes beside a part of the stack.

use std::convert::Infallible;

use axum::{Router, body::Body, extract::Request};
use bytes::Bytes;
use http::Response;
use http_body::Body as HttpBody;
use mcp_core::{Error, layer::Failed};
use tower::{BoxError, Layer, Service, ServiceExt as _, service_fn};

/// Sends to a router what it routes, and everything else further in.
///
/// Goes outside of layers that refuse callers whom these routes are for. What is further in fails with an error, which
/// goes on to the rescue layer by way of the response, as axum knows no failing services.
#[derive(Debug, Clone)]
pub(crate) struct BesideLayer(Router);

impl BesideLayer {
    /// `routes` that are reached without the layers further in.
    pub(crate) const fn new(routes: Router) -> Self {
        Self(routes)
    }
}

impl<S, B> Layer<S> for BesideLayer
where
    S: Service<Request, Response = Response<B>, Error = Error, Future: Send> + Clone + Send + Sync + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Service = Router;

    fn layer(&self, inner: S) -> Router {
        let inner = service_fn(move |request: Request| {
            let inner = inner.clone();
            async move {
                Ok::<_, Infallible>(match inner.oneshot(request).await {
                    Ok(response) => response.map(Body::new),
                    Err(error) => Failed::response(error),
                })
            }
        });
        self.0.clone().fallback_service(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use http::StatusCode;

    async fn ask(path: &str) -> Response<Body> {
        let refusing = service_fn(async |_: Request| {
            Err::<Response<Body>, _>(Error::unauthenticated("test", "who are you?"))
        });
        let router = BesideLayer::new(Router::new().route("/open", get(async || "hello"))).layer(refusing);
        router.oneshot(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_beside_is_reached_and_nothing_else() {
        assert_eq!(ask("/open").await.status(), StatusCode::OK);
        for path in ["/", "/open/", "//open", "/Open", "/open/more"] {
            let mut refused = ask(path).await;
            let error = Failed::take(&mut refused).expect("an error for the rescue layer");
            assert_eq!(error.message(), "who are you?", "{path}");
        }
    }
}
