//! Requests and responses of streamable HTTP, without their meaning.

use std::{sync::Arc, time::Duration};

use base64::Engine as _;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use mcp_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A pool of connections, shared by all HTTP servers. Cheap to clone.
///
/// Server certificates are checked against the public roots.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl HttpClient {
    /// A pool that gives up connecting after 10 s and keeps idle connections for 60 s.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) where the TLS provider lacks what TLS needs.
    pub fn new() -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = rustls_roots(provider)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(roots)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(64)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self(client))
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.0
            .request(request)
            .await
            .map_err(|error| Failure { unreachable: error.is_connect(), source: error })
    }
}

/// A request that got no response.
pub(super) struct Failure {
    /// No connection could be made, so the request was not sent.
    pub(super) unreachable: bool,
    pub(super) source: hyper_util::client::legacy::Error,
}

fn rustls_roots(provider: Arc<rustls::crypto::CryptoProvider>) -> Result<rustls::ClientConfig> {
    use hyper_rustls::ConfigBuilderExt as _;
    let versions =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| {
        Error::internal("upstream.http", "the TLS provider is incomplete").with_source(error)
    })?;
    Ok(versions.with_webpki_roots().with_no_client_auth())
}

/// What a request to an endpoint carries besides its body.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) uri: http::Uri,
    pub(super) headers: HeaderMap,
}

impl Endpoint {
    pub(super) fn post(&self, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = self.request(Method::POST, Bytes::from(body));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        request
    }

    /// Opens the server's own stream, or resumes one after the event `after`.
    pub(super) fn get(&self, after: Option<&str>) -> Request<Full<Bytes>> {
        let mut request = self.request(Method::GET, Bytes::new());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = after.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(LAST_EVENT_ID, id);
        }
        request
    }

    pub(super) fn delete(&self) -> Request<Full<Bytes>> {
        self.request(Method::DELETE, Bytes::new())
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The headers that repeat what a stateless request's body says.
pub(super) fn put_routing(headers: &mut HeaderMap, method: &str, params: Option<&str>) {
    if let Ok(value) = HeaderValue::from_str(method) {
        headers.insert(METHOD, value);
    }
    let named = params.and_then(|text| serde_json::from_str::<Named>(text).ok()).unwrap_or_default();
    let name = match method {
        "tools/call" | "prompts/get" => named.name,
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => named.uri,
        "tasks/get" | "tasks/update" | "tasks/cancel" => named.task_id,
        _ => None,
    };
    if let Some(value) = name.and_then(|name| HeaderValue::try_from(header_text(name)).ok()) {
        headers.insert(NAME, value);
    }
}

pub(super) fn put_trace(headers: &mut HeaderMap, trace: mcp_core::scope::TraceContext) {
    if let Ok(value) = HeaderValue::try_from(trace.child().to_string()) {
        headers.insert(TRACEPARENT, value);
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Named {
    name: Option<String>,
    uri: Option<String>,
    task_id: Option<String>,
}

/// Text that is no plain header value travels as `=?base64?…?=`, and so does text that looks like that.
fn header_text(text: String) -> String {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = text.as_bytes();
    let unfit =
        !bytes.iter().all(|byte| (0x20..=0x7e).contains(byte)) || blank(bytes.first()) || blank(bytes.last());
    let ambiguous = text.starts_with("=?base64?") && text.ends_with("?=");
    match unfit || ambiguous {
        false => text,
        true => format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text)),
    }
}

/// Whether the response is of this media type, parameters aside.
pub(super) fn is_type<B>(response: &Response<B>, wanted: &str) -> bool {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// Reads a whole body of at most `limit` bytes; `Err(true)` where it was larger.
pub(super) async fn whole(body: Incoming, limit: usize) -> std::result::Result<Bytes, bool> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(error.is::<http_body_util::LengthLimitError>()),
    }
}

/// Why a status that is no success is an error.
pub(super) fn refusal(status: StatusCode) -> (ErrorKind, String) {
    let why = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("refuses the credentials it is configured with ({status})")
        }
        _ => format!("answered with the HTTP status {status}"),
    };
    (ErrorKind::Upstream, why)
}

/// The id of a response, if it is one of this connection's.
pub(super) fn own_id(id: Option<&RawValue>) -> Option<u64> {
    id?.get().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel_in_a_header_whatever_they_hold() {
        for (name, header) in [
            ("echo", "echo"),
            ("é", "=?base64?w6k=?="),
            (" x", "=?base64?IHg=?="),
            ("=?base64?a?=", "=?base64?PT9iYXNlNjQ/YT89?="),
        ] {
            let mut headers = HeaderMap::new();
            put_routing(&mut headers, "tools/call", Some(&serde_json::json!({ "name": name }).to_string()));
            assert_eq!(headers[NAME], header);
            assert_eq!(headers[METHOD], "tools/call");
        }
    }
}
