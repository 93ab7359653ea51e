//! One exchange with an issuer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use mcp_core::{
    Error, ErrorKind, Result,
    key::Secret,
    net::{Addresses, HttpClient, HttpConfig},
};
use tokio::time::Instant;

use super::ForeignConfig;
use crate::issuer::authority;

/// Longest answer of an issuer, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// Asks issuers: those an operator put on a private network with one client, all others with one that dials public
/// addresses alone.
#[derive(Debug, Clone)]
pub(super) struct Fetch {
    public: HttpClient,
    private: HttpClient,
    timeout: Duration,
}

/// A URL of an issuer and whether it may be at a private address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) private: bool,
}

impl Endpoint {
    /// What a document of the issuer named. Only at the issuer's own host may that be what the operator allowed it:
    /// the document was not written by the operator.
    pub(super) fn discovered(url: &str, issuer: &Self) -> Result<Self> {
        let own = authority(&issuer.url, issuer.private).ok();
        let private = issuer.private && authority(url, true).ok() == own;
        match authority(url, private) {
            Ok(_) => Ok(Self { url: url.to_owned(), private }),
            Err(_) => Err(broken("its metadata names an endpoint that is no `https` URL")),
        }
    }
}

impl Fetch {
    pub(super) fn new(config: &ForeignConfig) -> Result<Self> {
        let client = |addresses| {
            HttpClient::new(HttpConfig {
                addresses,
                timeout: config.timeout,
                body_limit: BODY_LIMIT,
                roots: config.roots.clone(),
                ..HttpConfig::default()
            })
        };
        Ok(Self {
            public: client(Addresses::Public)?,
            private: client(Addresses::Any)?,
            timeout: config.timeout,
        })
    }

    /// The document at `endpoint` with its headers; `None` if there is none.
    pub(super) async fn get(&self, endpoint: &Endpoint) -> Result<Option<(Bytes, HeaderMap)>> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(&endpoint.url)
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| broken("its address is no URL"))?;
        let response = self.send(endpoint, request).await?;
        let (head, body) = response.into_parts();
        match head.status {
            StatusCode::OK => Ok(Some((body, head.headers))),
            StatusCode::NOT_FOUND => Ok(None),
            // A redirect among them: whoever moves its keys declares it.
            _ => Err(broken("it answered with a status other than 200")),
        }
    }

    /// Posts a form as the client that `authorization` names, and answers with the document that comes back.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        authorization: &Secret<String>,
        form: String,
    ) -> Result<Bytes> {
        let mut authorization = http::HeaderValue::from_str(authorization.expose())
            .map_err(|_| broken("its client has a secret that is no header"))?;
        authorization.set_sensitive(true);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&endpoint.url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, authorization)
            .body(Bytes::from(form))
            .map_err(|_| broken("its address is no URL"))?;
        let response = self.send(endpoint, request).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            StatusCode::UNAUTHORIZED => Err(broken("it refuses the client's credentials")),
            _ => Err(broken("it answered with a status other than 200")),
        }
    }

    /// Sends a request that may be sent twice: a connection of the pool may be one that the issuer closes in this
    /// moment.
    async fn send(&self, endpoint: &Endpoint, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let client = if endpoint.private { &self.private } else { &self.public };
        let begun = Instant::now();
        let answer = match client.send(request.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && begun.elapsed() < self.timeout / 2 => {
                client.send(request).await
            }
            answer => answer,
        };
        answer.map_err(|error| broken("it could not be asked").with_source(error))
    }
}

/// An issuer that cannot be asked, or lies. The caller learns that nobody can say, the log why.
pub(super) fn broken(reason: &'static str) -> Error {
    Error::unavailable("auth.issuer", "the issuer of the credentials cannot be asked; try again later")
        .with_context("reason", reason)
}
