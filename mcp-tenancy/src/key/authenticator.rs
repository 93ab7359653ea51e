//! Requests with an API key.

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::{
    PlatformScope, Result,
    clock::Clock,
    scope::{Principal, PrincipalId},
};

use super::{ApiKey, KeyId, KeyStore, PREFIX, Presented, Recent, Seen};
use crate::auth::{Authenticator, Identity, bearer, refused};

/// Authenticates `mcpk_…` keys: found by id, compared by digest in constant time.
///
/// A revocation takes effect within one second on every replica. An unknown id takes the same way as a
/// wrong secret.
#[derive(Debug)]
pub struct ApiKeyAuthenticator {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    recent: Recent<Arc<Holder>>,
}

#[derive(Debug)]
struct Holder {
    key: ApiKey,
    principal: Arc<Principal>,
    credential: Arc<str>,
}

impl ApiKeyAuthenticator {
    /// Keys of `store`, their expiry by `clock`.
    ///
    /// # Errors
    /// None in practice; the result spares an unwrap.
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Result<Self> {
        let scope = PlatformScope::new(PrincipalId::parse("authenticator")?, "find an API key");
        Ok(Self { store, clock, scope, recent: Recent::new() })
    }

    /// Forgets what is cached about `id`: called where a key was just revoked, so that it ends here at once.
    pub async fn forget(&self, id: &KeyId) {
        self.recent.forget(id).await;
    }

    async fn ask(&self, id: &KeyId) -> Result<Option<Seen<Arc<Holder>>>> {
        let stored = self.store.find(&self.scope, id).await?;
        Ok(stored.map(|stored| {
            let principal = Arc::new(stored.key.principal());
            let holder = Holder { key: stored.key, principal, credential: format!("key/{id}").into() };
            Seen { digest: stored.digest, holder: Arc::new(holder) }
        }))
    }
}

#[async_trait]
impl Authenticator for ApiKeyAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        let Some(text) = bearer(request)?.filter(|text| text.starts_with(PREFIX)) else { return Ok(None) };
        let presented = Presented::parse(PREFIX, text).ok_or_else(|| refused("a malformed API key"))?;
        let holder = self.recent.holder(&presented, self.ask(&presented.id)).await?;
        let key = &holder.key;
        if let Some(reason) = key.refusal(self.clock.now()) {
            return Err(refused(reason));
        }
        Ok(Some(Identity {
            tenant: key.tenant.clone(),
            principal: holder.principal.clone(),
            credential: holder.credential.clone(),
            expires_at: key.expires_at,
        }))
    }
}
