//! Requests with an API key.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::{PlatformScope, Result, clock::Clock, scope::PrincipalId};
use moka::future::Cache;
use tokio::time::Instant;

use super::{
    KeyDigest, KeyId, KeyStore, StoredKey,
    text::{PREFIX, Presented},
};
use crate::auth::{Authenticator, Identity, bearer, refused};

/// Keys kept in memory, and ids known not to exist: each bounded, so that invented ids push out no real key.
const CACHED: u64 = 100_000;
const CACHED_UNKNOWN: u64 = 10_000;
/// How long a key is used without asking the store: how long a revocation made elsewhere takes at most.
const FRESH: Duration = Duration::from_secs(1);

/// Authenticates `mcpk_…` keys: found by id, compared by digest in constant time.
///
/// A revocation takes effect within one second on every replica. An unknown id takes the same way as a
/// wrong secret.
#[derive(Debug)]
pub struct ApiKeyAuthenticator {
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    known: Cache<KeyId, Arc<Loaded>>,
    unknown: Cache<KeyId, ()>,
}

#[derive(Debug)]
struct Loaded {
    stored: StoredKey,
    principal: Arc<mcp_core::scope::Principal>,
    credential: Arc<str>,
    /// When the store was asked, not when it answered: a slow answer is already old.
    asked_at: Instant,
}

impl ApiKeyAuthenticator {
    /// Keys of `store`, their expiry by `clock`.
    ///
    /// # Errors
    /// None in practice; the result spares an unwrap.
    pub fn new(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Result<Self> {
        let scope = PlatformScope::new(PrincipalId::parse("authenticator")?, "find an API key");
        let cache = |capacity| Cache::builder().max_capacity(capacity).time_to_live(FRESH);
        Ok(Self {
            store,
            clock,
            scope,
            known: cache(CACHED).build(),
            unknown: Cache::builder().max_capacity(CACHED_UNKNOWN).time_to_live(FRESH).build(),
        })
    }

    /// Forgets what is cached about `id`: called where a key was just revoked, so that it ends here at once.
    pub async fn forget(&self, id: &KeyId) {
        self.known.invalidate(id).await;
    }

    async fn load(&self, id: &KeyId) -> Result<Option<Arc<Loaded>>> {
        if let Some(loaded) = self.known.get(id).await.filter(|loaded| loaded.asked_at.elapsed() < FRESH) {
            return Ok(Some(loaded));
        }
        if self.unknown.contains_key(id) {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let Some(stored) = self.store.find(&self.scope, id).await? else {
            self.unknown.insert(id.clone(), ()).await;
            return Ok(None);
        };
        let principal = Arc::new(stored.key.principal());
        let loaded = Arc::new(Loaded { stored, principal, credential: format!("key/{id}").into(), asked_at });
        self.known.insert(id.clone(), loaded.clone()).await;
        Ok(Some(loaded))
    }
}

#[async_trait]
impl Authenticator for ApiKeyAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        let Some(text) = bearer(request)?.filter(|text| text.starts_with(PREFIX)) else { return Ok(None) };
        let presented = Presented::parse(text).ok_or_else(|| refused("a malformed API key"))?;
        let loaded = self.load(&presented.id).await?;
        let nothing = KeyDigest::of_nothing();
        let shown = presented.shows(loaded.as_ref().map_or(&nothing, |loaded| &loaded.stored.digest));
        let loaded =
            loaded.filter(|_| shown).ok_or_else(|| refused("an unknown API key or a wrong secret"))?;
        let key = &loaded.stored.key;
        if let Some(reason) = key.refusal(self.clock.now()) {
            return Err(refused(reason));
        }
        Ok(Some(Identity {
            tenant: key.tenant.clone(),
            principal: loaded.principal.clone(),
            credential: loaded.credential.clone(),
            expires_at: key.expires_at,
        }))
    }
}
