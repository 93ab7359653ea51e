//! Requests with a token of the platform's own.

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::Result;

use super::{TokenVerifier, Verdict};
use crate::auth::{Authenticator, Identity, bearer};

/// Authenticates the platform's own tokens; leaves those of other issuers to the next authenticator.
#[derive(Debug)]
pub struct PlatformJwtAuthenticator {
    verifier: Arc<TokenVerifier>,
}

impl PlatformJwtAuthenticator {
    /// Tokens that `verifier` finds good.
    #[must_use]
    pub const fn new(verifier: Arc<TokenVerifier>) -> Self {
        Self { verifier }
    }
}

#[async_trait]
impl Authenticator for PlatformJwtAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        let Some(token) = bearer(request)? else { return Ok(None) };
        match self.verifier.verify(token).await? {
            Verdict::Good(verified) => Ok(Some(verified.identity.clone())),
            Verdict::Foreign => Ok(None),
        }
    }
}
