//! Requests with an API key.

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::{
    PlatformScope, Result,
    clock::Clock,
    scope::{Principal, PrincipalId},
};

use tokio_util::sync::CancellationToken;

use super::{ApiKey, Former, KeyId, KeyStore, PREFIX, Presented, Recent, Seen, last_used::LastUsed};
use crate::auth::{Authenticator, Identity, bearer, refused};

/// Authenticates `mcpk_…` keys: found by id, compared by digest in constant time.
///
/// A revocation takes effect within one second on every replica, and so does a rotation: until then the secret
/// before it is taken. An unknown id takes the same way as a wrong secret.
#[derive(Debug)]
pub struct ApiKeyAuthenticator {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    recent: Recent<Arc<Holder>>,
    last_used: LastUsed,
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
        Ok(Self { store, clock, scope, recent: Recent::new(), last_used: LastUsed::default() })
    }

    /// Writes when keys were last used, each at most once a minute, until `shutdown`. Its owner spawns and
    /// joins it; without it no use is recorded.
    ///
    /// # Cancellation
    /// May be dropped at any await; uses since the last write are then not recorded.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.last_used.run(&*self.store, &self.scope, shutdown).await;
    }

    /// Forgets what is cached about `id`: called where a key was just revoked or rotated, so that its secret
    /// ends here at once.
    pub async fn forget(&self, id: &KeyId) {
        self.recent.forget(id).await;
    }

    async fn ask(&self, id: &KeyId) -> Result<Option<Seen<Arc<Holder>>>> {
        let stored = self.store.find(&self.scope, id).await?;
        Ok(stored.map(|stored| {
            let principal = Arc::new(stored.key.principal());
            let former = stored.former.zip(stored.key.previous_until);
            let former = former.map(|(digest, until)| Former { digest, until });
            let holder = Holder { key: stored.key, principal, credential: format!("key/{id}").into() };
            Seen { digest: stored.digest, former, holder: Arc::new(holder) }
        }))
    }
}

#[async_trait]
impl Authenticator for ApiKeyAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        let Some(text) = bearer(request)?.filter(|text| text.starts_with(PREFIX)) else { return Ok(None) };
        let presented = Presented::parse(PREFIX, text).ok_or_else(|| refused("a malformed API key"))?;
        let now = self.clock.now();
        let holder = self.recent.holder(&presented, now, self.ask(&presented.id)).await?;
        let key = &holder.key;
        if let Some(reason) = key.refusal(now) {
            return Err(refused(reason));
        }
        self.last_used.note(&key.id, now);
        Ok(Some(Identity {
            tenant: key.tenant.clone(),
            principal: holder.principal.clone(),
            credential: holder.credential.clone(),
            expires_at: key.expires_at,
        }))
    }
}
