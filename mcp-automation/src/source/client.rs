//! HTTP towards registries: bounded, patient for a while, behind a proxy where the environment names one.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::{TokioExecutor, TokioTimer},
};
use mcp_core::{
    Error, ErrorKind, Result,
    error::{Detail, Retry},
};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{Hash, Phase, Reporter, Resolved};

/// Redirections that are followed.
const REDIRECTS: usize = 5;

/// What a registry may cost. [`Default`] gives what each field says.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Longest answer about a package, in bytes. Default 64 MiB.
    pub metadata: u64,
    /// Longest artifact, in bytes. Default 256 MiB.
    pub artifact: u64,
    /// How long a registry may be silent. Default 30 s.
    pub silence: Duration,
    /// How often a request is tried that found the registry away or came back cut short. Default 3.
    pub tries: u32,
    /// The wait after the first failure; it doubles. Default 500 ms.
    pub backoff: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            metadata: 64 << 20,
            artifact: 256 << 20,
            silence: Duration::from_secs(30),
            tries: 3,
            backoff: Duration::from_millis(500),
        }
    }
}

/// A client for registries. Cheap to clone.
///
/// It trusts the system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others) and goes
/// through the proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
#[derive(Debug, Clone)]
pub struct RegistryClient {
    /// Made with the first request: whoever installs nothing needs no certificate authorities.
    wire: Arc<OnceLock<Wire>>,
    limits: ClientLimits,
}

#[derive(Debug)]
struct Wire {
    tls: rustls::ClientConfig,
    direct: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    proxies: Matcher,
}

impl Wire {
    fn make() -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let versions = versions.map_err(|error| {
            Error::internal("source.client", "the TLS provider is incomplete").with_source(error)
        })?;
        let trusting = versions.with_native_roots().map_err(|error| {
            let what = "the system has no certificate authorities; install them or set SSL_CERT_FILE";
            Error::unavailable("source.client", what).with_source(error).with_retry(Retry::Never)
        })?;
        let tls = trusting.with_no_client_auth();
        let direct = client(https(tls.clone(), tcp()));
        Ok(Self { tls, direct, proxies: Matcher::from_env() })
    }
}

impl RegistryClient {
    /// A client with these limits.
    #[must_use]
    pub fn new(limits: ClientLimits) -> Self {
        Self { wire: Arc::default(), limits }
    }

    fn wire(&self) -> Result<&Wire> {
        if let Some(wire) = self.wire.get() {
            return Ok(wire);
        }
        // Two at once make two, of which one is kept.
        let made = Wire::make()?;
        Ok(self.wire.get_or_init(|| made))
    }

    /// The whole answer at `url`.
    pub(super) async fn get(&self, url: &Url, accept: &'static str) -> Result<Bytes> {
        self.repeated(|| Box::pin(self.get_once(url, accept))).await
    }

    async fn get_once(&self, url: &Url, accept: &'static str) -> Result<Bytes> {
        let mut answer = self.open(url, accept, self.limits.metadata).await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.next().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(body))
    }

    /// Downloads `artifact` to the new file `to`, which is left only if it is what the registry promised.
    pub(super) async fn download(&self, artifact: &Resolved, to: &Path, report: &Reporter) -> Result<()> {
        let downloaded = self.repeated(|| Box::pin(self.download_once(artifact, to, report))).await;
        if downloaded.is_err() {
            let _ = tokio::fs::remove_file(to).await;
        }
        downloaded
    }

    async fn download_once(&self, artifact: &Resolved, to: &Path, report: &Reporter) -> Result<()> {
        let longest = match artifact.size {
            Some(size) if size > self.limits.artifact => {
                return Err(too_large(&artifact.url, self.limits.artifact));
            }
            Some(size) => size,
            None => self.limits.artifact,
        };
        let mut answer = self.open(&artifact.url, "*/*", longest).await?;
        let total = artifact.size.or(answer.length);
        let mut file = tokio::fs::File::create(to).await.map_err(unwritable)?;
        let (mut hasher, mut done) = (artifact.hash.hasher(), 0);
        while let Some(chunk) = answer.next().await? {
            file.write_all(&chunk).await.map_err(unwritable)?;
            hasher.update(&chunk);
            done += chunk.len() as u64;
            report.bytes(Phase::Downloading, done, total);
        }
        file.sync_all().await.map_err(unwritable)?;
        if artifact.size.is_some_and(|size| size != done) {
            let why =
                format!("{} ended after {done} bytes of {}", artifact.url, artifact.size.unwrap_or_default());
            return Err(Error::upstream("source.download", why));
        }
        matches(artifact, &hasher.finish())
    }

    /// Sends a request and follows redirections to an answer.
    async fn open(&self, url: &Url, accept: &'static str, longest: u64) -> Result<Answer> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.send(&at, accept).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(Answer::new(at, response, longest, self.limits.silence));
            }
            if !status.is_redirection() {
                return Err(refusal(&at, status));
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| at.join(location).ok());
            at = next.filter(|next| may_follow(&at, next)).ok_or_else(|| {
                Error::upstream("source.get", format!("{at} redirects to a place that is not followed"))
                    .with_retry(Retry::Never)
            })?;
        }
        Err(Error::upstream("source.get", format!("{url} redirects in circles")).with_retry(Retry::Never))
    }

    async fn send(&self, url: &Url, accept: &'static str) -> Result<Response<Incoming>> {
        let uri: http::Uri = url
            .as_str()
            .parse()
            .map_err(|_| Error::invalid_input("source.get", format!("{url} cannot be requested")))?;
        let request = Request::get(uri.clone())
            .header(header::ACCEPT, HeaderValue::from_static(accept))
            .header(header::USER_AGENT, concat!("mcp-automation/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| {
                Error::invalid_input("source.get", format!("{url} cannot be requested")).with_source(error)
            })?;
        let wire = self.wire()?;
        let sent = async {
            match wire.proxies.intercept(&uri) {
                None => wire.direct.request(request).await,
                Some(proxy) => {
                    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp());
                    if let Some(credentials) = proxy.basic_auth() {
                        tunnel = tunnel.with_auth(credentials.clone());
                    }
                    client(https(wire.tls.clone(), tunnel)).request(request).await
                }
            }
        };
        match tokio::time::timeout(self.limits.silence, sent).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                Err(Error::upstream("source.get", format!("{} cannot be reached", host(url)))
                    .with_source(error))
            }
            Err(_) => Err(silent(url, self.limits.silence)),
        }
    }

    /// Tries again what may go better the next time.
    async fn repeated<'a, T>(&self, once: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let mut wait = self.limits.backoff;
        for _ in 1..self.limits.tries {
            match once().await {
                Err(error) if error.retry() == Retry::Maybe => {
                    tracing::debug!(error = error.report(), "tried again");
                    tokio::time::sleep(error.retry_after().unwrap_or(wait).min(self.limits.silence)).await;
                    wait *= 2;
                }
                other => return other,
            }
        }
        once().await.map_err(|error| match error.retry() {
            Retry::Maybe => error.with_retry(Retry::Exhausted),
            _ => error,
        })
    }
}

/// An answer that is being read.
struct Answer {
    url: Url,
    length: Option<u64>,
    body: Incoming,
    read: u64,
    longest: u64,
    silence: Duration,
}

impl Answer {
    fn new(url: Url, response: Response<Incoming>, longest: u64, silence: Duration) -> Self {
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        Self { url, length, body: response.into_body(), read: 0, longest, silence }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(self.silence, self.body.frame()).await;
            let frame = match frame.map_err(|_| silent(&self.url, self.silence))? {
                None => return Ok(None),
                Some(frame) => frame.map_err(|error| {
                    let why = format!("the answer of {} was cut short", self.url);
                    Error::upstream("source.get", why).with_source(error)
                })?,
            };
            let Ok(chunk) = frame.into_data() else { continue };
            self.read += chunk.len() as u64;
            if self.read > self.longest {
                return Err(too_large(&self.url, self.longest));
            }
            return Ok(Some(chunk));
        }
    }
}

fn silent(url: &Url, wait: Duration) -> Error {
    Error::upstream("source.get", format!("{} was silent for {} s", host(url), wait.as_secs_f64()))
}

fn too_large(url: &Url, longest: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "source.get", format!("{url} is longer than {longest} bytes"))
        .with_detail(Detail::Limit { bytes: longest })
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(Duration::from_secs(10)));
    tcp
}

fn https<C>(tls: rustls::ClientConfig, connector: C) -> HttpsConnector<C> {
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}

fn client<C>(connector: C) -> Client<C, Empty<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// From TLS to a plain connection nothing is followed.
fn may_follow(from: &Url, to: &Url) -> bool {
    to.scheme() == "https" || (to.scheme() == "http" && from.scheme() == "http")
}

fn refusal(url: &Url, status: StatusCode) -> Error {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Error::not_found("source.get", format!("there is nothing at {url}"))
        }
        _ => {
            let again = status.is_server_error()
                || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
            let retry = if again { Retry::Maybe } else { Retry::Never };
            Error::upstream("source.get", format!("{} answered {status}", host(url))).with_retry(retry)
        }
    }
}

fn matches(artifact: &Resolved, found: &Hash) -> Result<()> {
    if artifact.hash == *found {
        return Ok(());
    }
    let (wanted, reference) = (&artifact.hash, artifact.reference());
    let why = format!("{reference} is refused: the registry says {wanted}, the downloaded file has {found}");
    Err(Error::upstream("source.download", why).with_retry(Retry::Never))
}

fn unwritable(error: std::io::Error) -> Error {
    Error::unavailable("source.download", format!("the file cannot be written: {error}"))
        .with_retry(Retry::Never)
}
