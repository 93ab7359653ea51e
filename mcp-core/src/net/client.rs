//! A client for short exchanges.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{
    HttpConfig, Roots,
    connect::{GuardedConnector, Refused, Resolve, SystemResolver},
};
use crate::error::{Error, ErrorKind, Result};

const OPERATION: &str = "net.http";

/// A client for requests and responses that fit into memory, with a pool of connections. Cheap to clone.
///
/// It follows no redirects, goes through no proxy, and dials only what its
/// [`Addresses`](super::Addresses) allow.
#[derive(Clone)]
pub struct HttpClient {
    client: Client<HttpsConnector<GuardedConnector>, Full<Bytes>>,
    timeout: Duration,
    body_limit: usize,
}

impl HttpClient {
    /// A client with these bounds.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the certificate authorities cannot be read,
    /// [`Internal`](ErrorKind::Internal) if the TLS provider lacks what TLS needs.
    pub fn new(config: HttpConfig) -> Result<Self> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    pub(super) fn with_resolver(config: HttpConfig, resolver: Arc<dyn Resolve>) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(config.roots)?)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(GuardedConnector::new(config.addresses, resolver, config.connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(16)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { client, timeout: config.timeout, body_limit: config.body_limit })
    }

    /// Sends `request` and reads the whole response. What its status means is the caller's business.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if the host has an address that may not be dialled,
    /// [`Unavailable`](ErrorKind::Unavailable) if it cannot be reached, breaks off, or takes too long, and
    /// [`Upstream`](ErrorKind::Upstream) if its body is larger than the limit. Each names the host, never the
    /// path, the query or a header.
    ///
    /// # Cancellation
    /// Dropping the future closes the connection; the host may have got the request.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let host = request.uri().authority().map(|host| host.host().to_owned()).unwrap_or_default();
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(failure)) => Err(self.error(&host, failure)),
            Err(_) => Err(Error::unavailable(
                OPERATION,
                format!("`{host}` did not answer within {:?}", self.timeout),
            )),
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, Failure> {
        let response = self.client.request(request.map(Full::new)).await.map_err(Failure::Exchange)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, self.body_limit).collect().await.map_err(Failure::Body)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    fn error(&self, host: &str, failure: Failure) -> Error {
        match failure {
            Failure::Exchange(error) if is_refused(&error) => Error::new(
                ErrorKind::PermissionDenied,
                OPERATION,
                format!("`{host}` has an address that is not public; only an operator may name such a host"),
            ),
            Failure::Exchange(error) => {
                let what = if error.is_connect() { "cannot be reached" } else { "broke off the exchange" };
                Error::unavailable(OPERATION, format!("`{host}` {what}")).with_source(error)
            }
            Failure::Body(error) if error.is::<LengthLimitError>() => {
                let what = format!("`{host}` answered with more than {} bytes", self.body_limit);
                Error::new(ErrorKind::Upstream, OPERATION, what)
            }
            Failure::Body(error) => {
                Error::unavailable(OPERATION, format!("`{host}` broke off its answer")).with_source(error)
            }
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

enum Failure {
    Exchange(legacy::Error),
    Body(Box<dyn std::error::Error + Send + Sync>),
}

fn is_refused(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        // An `io::Error` that wraps another error gives that one's source as its own.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<Refused>() || inner.is_some_and(|inner| inner.is::<Refused>()) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn tls(roots: Roots) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions
        .map_err(|error| Error::internal(OPERATION, "the TLS provider is incomplete").with_source(error))?;
    let trusting = match roots {
        Roots::Public => versions.with_webpki_roots(),
        Roots::Pem(pem) => versions.with_root_certificates(store(&pem)?),
    };
    Ok(trusting.with_no_client_auth())
}

fn store(pem: &[u8]) -> Result<RootCertStore> {
    let unreadable =
        || Error::invalid_input(OPERATION, "the certificate authorities are no PEM certificates");
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unreadable().with_source(error))?;
        store.add(certificate).map_err(|error| unreadable().with_source(error))?;
    }
    if store.is_empty() { Err(unreadable()) } else { Ok(store) }
}

#[cfg(test)]
mod tests;
