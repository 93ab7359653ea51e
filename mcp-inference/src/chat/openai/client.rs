//! A pool of connections to providers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use mcp_core::{Error, Result};

/// A pool of connections, shared by all providers. Cheap to clone. Redirections are not followed.
///
/// Server certificates are checked against the public roots.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl HttpClient {
    /// A pool that gives up connecting after 5 s and keeps idle connections for 60 s.
    ///
    /// # Errors
    /// [`Internal`](mcp_core::ErrorKind::Internal) where the TLS provider lacks what TLS needs.
    pub fn new() -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Without it, small writes wait for the peer's delayed acknowledgement: 40 ms a request.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let versions = versions.map_err(|error| {
            Error::internal("provider.http", "the TLS provider is incomplete").with_source(error)
        })?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(versions.with_webpki_roots().with_no_client_auth())
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

    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        self.0.request(request).await
    }
}
