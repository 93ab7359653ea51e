//! Who a credential speaks for.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::{
    Error, Result,
    clock::Timestamp,
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

/// The authenticators of a server, in the order they are asked.
#[derive(Debug, Clone)]
pub struct Authenticators(Arc<[Arc<dyn Authenticator>]>);

impl Authenticators {
    /// These, asked in this order; the first that knows the kind of credential decides.
    #[must_use]
    pub fn new(list: Vec<Arc<dyn Authenticator>>) -> Self {
        Self(list.into())
    }

    /// These, and then `more`.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = Arc<dyn Authenticator>>) -> Self {
        Self(self.0.iter().cloned().chain(more).collect())
    }

    /// Who sends the request.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) if there is no credential or no good one,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    pub async fn authenticate(&self, request: &Parts) -> Result<Identity> {
        for authenticator in self.0.iter() {
            if let Some(identity) = authenticator.authenticate(request).await? {
                return Ok(identity);
            }
        }
        Err(refused(match super::bearer(request)? {
            None => "no credential",
            Some(_) => "no issuer known here",
        }))
    }
}

/// The one refusal of every authenticator: the caller learns nothing but that it is refused.
///
/// `reason` is for the log and the audit record: it names no secret and is not built from the input.
#[must_use]
pub fn refused(reason: &'static str) -> Error {
    Error::unauthenticated("auth.authenticate", "valid credentials are required")
        .with_context("reason", reason)
}

/// The reason given to [`refused`].
pub(crate) fn reason(error: &Error) -> &str {
    error.context().find(|(key, _)| *key == "reason").map_or("unknown", |(_, reason)| reason)
}
