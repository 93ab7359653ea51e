//! Who a credential speaks for.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::{
    Error, Result,
    clock::Timestamp,
    error::Detail,
    scope::{Principal, TenantId},
};

/// What an authenticator vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant the credential belongs to.
    pub tenant: TenantId,
    /// Who acts.
    pub principal: Arc<Principal>,
    /// Which credential it was, for audit records: `key/…` or `token/…`. Not a secret.
    pub credential: Arc<str>,
    /// When the credential ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// Tells who sends a request.
///
/// Promises:
/// - `Ok(None)` only if the request carries no credential of this kind; a credential of this kind that is
///   not good is an error, and nobody else is asked.
/// - Every refusal is the same error to the caller, made by [`refused`]; why goes into its context.
/// - What guards access fails closed: a store that is away is an error.
#[async_trait]
pub trait Authenticator: Send + Sync + fmt::Debug {
    /// Looks at the request's head.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated), or
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>>;
}

/// The authenticators of a server, and the one result they come to.
///
/// A request has exactly one credential. One in the headers is judged by the first authenticator that knows its
/// kind, and its word is final; one of the connection, a client certificate, by that for connections. Both at
/// once are refused, and so are two in the headers: two parts of a system must not pick different ones.
#[derive(Debug, Clone)]
pub struct Authenticators {
    of_headers: Arc<[Arc<dyn Authenticator>]>,
    of_connection: Option<Arc<dyn Authenticator>>,
}

impl Authenticators {
    /// These, for what comes in headers, asked in this order.
    #[must_use]
    pub fn new(list: Vec<Arc<dyn Authenticator>>) -> Self {
        Self { of_headers: list.into(), of_connection: None }
    }

    /// The same, with one for what comes with the connection. It answers `None` to a certificate that it does
    /// not know beside a credential in the headers.
    #[must_use]
    pub fn with_connection(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.of_connection = Some(authenticator);
        self
    }

    /// These, and then `more` for what comes in headers.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Arc<dyn Authenticator>>) -> Self {
        let of_headers = self.of_headers.iter().cloned().chain(more).collect();
        Self { of_headers, of_connection: self.of_connection.clone() }
    }

    /// Who sends the request.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) if there is no credential or no good one,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    pub async fn authenticate(&self, request: &Parts) -> Result<Identity> {
        let in_headers = super::bearer(request)?.is_some();
        let of_connection = match &self.of_connection {
            Some(authenticator) => authenticator.authenticate(request).await?,
            None => None,
        };
        match of_connection {
            Some(_) if in_headers => return Err(refused("two credentials")),
            Some(identity) => return Ok(identity),
            None if !in_headers => return Err(unidentified("no credential")),
            None => {}
        }
        for authenticator in self.of_headers.iter() {
            if let Some(identity) = authenticator.authenticate(request).await? {
                return Ok(identity);
            }
        }
        Err(refused("no issuer known here"))
    }
}

/// The one refusal of every authenticator: the caller learns nothing but that it is refused.
///
/// `reason` is for the log and the audit record: it names no secret and is not built from the input.
#[must_use]
pub fn refused(reason: &'static str) -> Error {
    unidentified(reason).with_detail(Detail::InvalidCredential)
}

/// The refusal of a request that shows no credential: the same, without the word that one is no good.
pub(crate) fn unidentified(reason: &'static str) -> Error {
    Error::unauthenticated("auth.authenticate", "valid credentials are required")
        .with_context("reason", reason)
}

/// The reason given to [`refused`].
pub(crate) fn reason(error: &Error) -> &str {
    error.context().find(|(key, _)| *key == "reason").map_or("unknown", |(_, reason)| reason)
}
