//! The REST API over HTTP and TLS.

use std::{io::Write, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use mcp_core::key::Secret;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::Value;
use url::Url;

use crate::{
    access::Access,
    cli::Connection,
    failure::{Failure, Result},
    problem::Problem,
};

/// Longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Entries on one page of a list, the most the API gives.
const PAGE: usize = 200;

/// A client of one platform with one key.
#[derive(Debug)]
pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    access: Access,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// A request in the making: `["tenants", "acme"]` below the API's root.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) idempotency_key: Option<String>,
    /// The version that is expected.
    pub(crate) if_match: Option<i64>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, path: &[&'a str]) -> Self {
        let path = path.to_vec();
        Self { method, path, query: Vec::new(), body: None, idempotency_key: None, if_match: None }
    }

    pub(crate) fn get(path: &[&'a str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &[&'a str]) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }
}

impl Client {
    /// Trusts the system's certificates, and those of `--ca`; shows that of `--client-cert`.
    pub(crate) fn new(access: Access, connection: &Connection, timeout: Duration) -> Result<Self> {
        let tls = match access.url.scheme() {
            "https" => roots(connection.ca.as_deref())?,
            _ => RootCertStore::empty(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Local(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(tls);
        let tls = match (&connection.client_cert, &connection.client_key) {
            (Some(cert), Some(key)) => {
                let (chain, key) = own_certificate(cert, key)?;
                tls.with_client_auth_cert(chain, key).map_err(|error| {
                    Failure::Usage(format!("--client-cert and --client-key do not go together: {error}"))
                })?
            }
            _ => tls.with_no_client_auth(),
        };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let header = |key: &Secret<String>| {
            let mut header = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| Failure::Usage("the key holds characters that no key has".to_owned()))?;
            header.set_sensitive(true);
            Ok::<_, Failure>(header)
        };
        // A refresh token is no way in: it goes into the body of what is about it, and nowhere else.
        let key = access.key.as_ref().filter(|_| !access.is_refresh_token());
        let authorization = key.map(header).transpose()?;
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, access, authorization, timeout })
    }

    /// Whether the key is an operator's.
    pub(crate) fn is_operator(&self) -> bool {
        self.access.is_operator()
    }

    /// The root of an operator's paths; anyone else is told which key is needed.
    pub(crate) fn operator(&self) -> Result<&'static str> {
        match self.is_operator() {
            true => Ok("operator"),
            false => Err(Failure::Usage(
                "this takes an operator's key (mcpo_…), made by `mcp-platform operator-key create`"
                    .to_owned(),
            )),
        }
    }

    /// Tells an operator that what is asked for belongs to a tenant, whose key is needed.
    pub(crate) fn tenant(&self) -> Result<()> {
        match self.is_operator() {
            false => Ok(()),
            true => Err(Failure::Usage(
                "this takes a key or token of a tenant: an operator's reaches nothing that tenants store"
                    .to_owned(),
            )),
        }
    }

    /// The refresh token that was given where others give a key.
    pub(crate) fn refresh_token(&self) -> Result<&Secret<String>> {
        self.access.key.as_ref().filter(|_| self.access.is_refresh_token()).ok_or_else(|| {
            Failure::Usage(
                "this takes the refresh token (mcpr_…) of `tokens grant --json`, where others take a key"
                    .to_owned(),
            )
        })
    }

    /// All entries of a list, page after page, at most `limit`.
    pub(crate) async fn list(&self, path: &[&str], limit: Option<usize>) -> Result<Value> {
        self.list_where(path, &[], limit).await
    }

    /// Those entries of a list that the query leaves.
    pub(crate) async fn list_where(
        &self,
        path: &[&str],
        query: &[(&'static str, Option<&str>)],
        limit: Option<usize>,
    ) -> Result<Value> {
        let limit = limit.unwrap_or(usize::MAX);
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        while items.len() < limit {
            let page = PAGE.min(limit - items.len());
            let mut ask = Ask::get(path).query("limit", Some(page)).query("cursor", cursor.as_deref());
            for (name, value) in query {
                ask = ask.query(name, *value);
            }
            let mut answer = self.send(ask).await?;
            match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(page)) => items.extend(page),
                _ => return Err(Failure::Unexpected("the platform answered with no list".to_owned())),
            }
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(Value::Array(items))
    }

    /// Sends one request; its answer, null where it has no body.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Value> {
        let url = self.url(&ask);
        let (status, body) =
            tokio::time::timeout(self.timeout, self.exchange(&url, ask)).await.map_err(|_| {
                Failure::Unreachable(format!("{url}: no answer within {} s", self.timeout.as_secs()))
            })??;
        if status.is_success() {
            return match body.is_empty() {
                true => Ok(Value::Null),
                false => serde_json::from_slice(&body).map_err(|_| no_api(&url, status)),
            };
        }
        Err(refusal(&url, status, &body))
    }

    /// Writes an answer of any length to `out` as it comes. Each part of it has the time that a whole answer
    /// has otherwise.
    pub(crate) async fn download(&self, ask: Ask<'_>, out: &mut dyn Write) -> Result<()> {
        let url = self.url(&ask);
        let late = || Failure::Unreachable(format!("{url}: no answer within {} s", self.timeout.as_secs()));
        let begun = tokio::time::timeout(self.timeout, self.begin(&url, ask)).await;
        let (head, mut body) = begun.map_err(|_| late())??.into_parts();
        if !head.status.is_success() {
            let read = tokio::time::timeout(self.timeout, Limited::new(body, MAX_ANSWER).collect()).await;
            let read = read.map_err(|_| late())?;
            let bytes = read.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(refusal(&url, head.status, &bytes));
        }
        while let Some(frame) = tokio::time::timeout(self.timeout, body.frame()).await.map_err(|_| late())? {
            let frame = frame.map_err(|error| {
                Failure::Unreachable(format!("{url}: the answer ended in its middle: {}", causes(&error)))
            })?;
            if let Ok(data) = frame.into_data() {
                out.write_all(&data).map_err(|error| Failure::Local(format!("cannot write: {error}")))?;
            }
        }
        out.flush().map_err(|error| Failure::Local(format!("cannot write: {error}")))
    }

    async fn exchange(&self, url: &Url, ask: Ask<'_>) -> Result<(StatusCode, Bytes)> {
        let (head, body) = self.begin(url, ask).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body =
            body.map_err(|error| Failure::Unreachable(format!("{url}: {}", causes(&*error))))?.to_bytes();
        Ok((head.status, body))
    }

    async fn begin(&self, url: &Url, ask: Ask<'_>) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("mcpctl/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(key) = ask.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(version) = ask.if_match {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        let body = match ask.body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                body.to_string().into()
            }
        };
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Usage(format!("{url} cannot be requested: {error}")))?;
        let begun = self.http.request(request).await;
        begun.map_err(|error| Failure::Unreachable(format!("{url}: {}", causes(&error))))
    }

    fn url(&self, ask: &Ask<'_>) -> Url {
        let mut url = self.access.url.clone();
        // A URL with a host has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(&ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        url
    }
}

fn refusal(url: &Url, status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.status == status.as_u16() => Failure::Refused(Box::new(problem)),
        _ => no_api(url, status),
    }
}

fn no_api(url: &Url, status: StatusCode) -> Failure {
    Failure::Unexpected(format!("{url} answered {status}, and not as the API of an MCP platform does"))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // A machine without certificates of its own can still reach what `ca` vouches for.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(file) = ca else { return Ok(roots) };
    let refused = |why: &dyn std::fmt::Display| Failure::Usage(format!("--ca {}: {why}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| refused(&error))?;
    let mut found = false;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refused(&error))?;
        roots.add(certificate).map_err(|error| refused(&error))?;
        found = true;
    }
    if found { Ok(roots) } else { Err(refused(&"there is no certificate in it")) }
}

/// The chain and key with which this client shows who it is.
fn own_certificate(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let refused = |what: &str, file: &Path, why: &dyn std::fmt::Display| {
        Failure::Usage(format!("{what} {}: {why}", file.display()))
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| refused("--client-cert", cert, &error))?;
    if chain.is_empty() {
        return Err(refused("--client-cert", cert, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refused("--client-key", key, &error))?;
    Ok((chain, key))
}

/// The whole chain of causes: the last one is what a user can act on.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_told = cause.to_string();
        if told.last().is_none_or(|last| !last.contains(&cause_told)) {
            told.push(cause_told);
        }
        next = cause.source();
    }
    told.join(": ")
}
