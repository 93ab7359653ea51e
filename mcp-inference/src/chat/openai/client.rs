//! Requests and responses, without their meaning.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Request, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use mcp_core::{Error, Result, Scope};

use super::{OpenAiConfig, failure::Failure};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mcp-platform/", env!("CARGO_PKG_VERSION")));

/// A pool of connections to one provider. Certificates are checked against the public roots.
#[derive(Debug)]
pub(super) struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: http::Uri,
    /// Marked as sensitive, so that `Debug` of a request does not show it.
    authorization: Option<HeaderValue>,
}

/// A request that got no response.
pub(super) struct NotSent {
    /// No connection could be made, so the request was not sent.
    pub(super) unreachable: bool,
    pub(super) source: legacy::Error,
}

impl Client {
    pub(super) fn new(config: &OpenAiConfig) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Nagle's algorithm would hold the end of a request back for an acknowledgement.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|error| {
            Error::internal("chat.provider", "the TLS provider is incomplete").with_source(error)
        })?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_webpki_roots().with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let authorization = config.api_key.as_ref().map(|key| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| {
                let name = &config.name;
                Error::invalid_input(
                    "chat.provider",
                    format!("the provider `{name}`: api_key is no header value"),
                )
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        Ok(Self { pool, uri: config.chat_completions()?, authorization: authorization.transpose()? })
    }

    /// Posts a request. Dropping the future, or the response's body, ends it.
    pub(super) async fn send(
        &self,
        scope: &Scope,
        body: Vec<u8>,
        stream: bool,
    ) -> Result<Response<Incoming>, NotSent> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = if stream { "text/event-stream" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, AGENT);
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Ok(trace) = HeaderValue::try_from(scope.trace().child().to_string()) {
            headers.insert(TRACEPARENT, trace);
        }
        let sent = self.pool.request(request).await;
        sent.map_err(|source| NotSent { unreachable: source.is_connect(), source })
    }
}

/// Whether the response is of this media type, parameters aside.
pub(super) fn is_type<B>(response: &Response<B>, wanted: &str) -> bool {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// Reads a body of at most `limit` bytes that never pauses for longer than `idle`.
pub(super) async fn whole(mut body: Incoming, limit: usize, idle: Duration) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    while let Some(frame) = next_frame(&mut body, idle).await? {
        if whole.len() + frame.len() > limit {
            return Err(Failure::TooLong);
        }
        whole.extend_from_slice(&frame);
    }
    Ok(whole.freeze())
}

/// The next bytes of a body; `None` at its proper end.
pub(super) async fn next_frame(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, Failure> {
    match tokio::time::timeout(idle, body.frame()).await {
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(_))) => Err(Failure::Broke),
        Ok(None) => Ok(None),
        Err(_) => Err(Failure::Paused(idle)),
    }
}
