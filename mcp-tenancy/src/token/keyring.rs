//! A tenant's keys, ready to sign and to verify.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{DecodingKey, EncodingKey};
use mcp_core::{
    Error, PlatformScope, Result,
    clock::Clock,
    key::{DataKeys, MasterKey, Secret},
    scope::{PrincipalId, TenantId},
};
use moka::future::Cache;
use tokio::time::Instant;

use super::{SigningKey, SigningKeyStore, sealing::Sealing};

/// Tenants whose keys are kept in memory, for signing and for verifying each.
const CACHED: u64 = 10_000;
/// How long they are kept there.
const CACHED_FOR: Duration = Duration::from_secs(300);
/// An unknown kid asks the store again at most this often for each tenant.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// Makes, keeps and finds the signing keys of tenants.
#[derive(Debug)]
pub struct Keyring {
    store: Arc<dyn SigningKeyStore>,
    sealing: Sealing,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    signing: Cache<TenantId, Arc<Signing>>,
    verifying: Cache<TenantId, Arc<Verifying>>,
}

/// The key a tenant signs with.
pub(super) struct Signing {
    pub(super) kid: String,
    pub(super) key: EncodingKey,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signing({})", self.kid)
    }
}

struct Verifying {
    keys: Vec<(String, Arc<DecodingKey>)>,
    asked_at: Instant,
}

impl std::fmt::Debug for Verifying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(kid, _)| kid)).finish()
    }
}

impl Keyring {
    /// Keys kept in `store`, their private halves sealed by `data_keys`. `master` opens those that it sealed by
    /// itself, before there were data keys.
    ///
    /// # Errors
    /// None in practice; the result spares an unwrap.
    pub fn new(
        store: Arc<dyn SigningKeyStore>,
        data_keys: Arc<DataKeys>,
        master: MasterKey,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Ok(Self {
            store,
            sealing: Sealing::new(data_keys, master),
            clock,
            scope: PlatformScope::new(PrincipalId::parse("token-issuer")?, "sign and verify tokens"),
            signing: Cache::builder().max_capacity(CACHED).time_to_live(CACHED_FOR).build(),
            verifying: Cache::builder().max_capacity(CACHED).time_to_live(CACHED_FOR).build(),
        })
    }

    /// The key `tenant` signs with, made now if it has none.
    ///
    /// Whoever calls this has made sure that the tenant exists.
    pub(super) async fn signing(&self, tenant: &TenantId) -> Result<Arc<Signing>> {
        if let Some(signing) = self.signing.get(tenant).await {
            return Ok(signing);
        }
        let stored = match self.store.keys(&self.scope, tenant).await?.into_iter().next() {
            Some(key) => key,
            None => {
                let key = self.generate(tenant).await?;
                let kept = self.store.first(&self.scope, key).await?;
                self.verifying.invalidate(tenant).await;
                kept
            }
        };
        let private = self.sealing.open(&self.scope, tenant, &stored.kid, stored.sealed).await?;
        let key = EncodingKey::from_ed_der(private.expose());
        let signing = Arc::new(Signing { kid: stored.kid, key });
        self.signing.insert(tenant.clone(), signing.clone()).await;
        Ok(signing)
    }

    /// Closes the key `tenant` signs with.
    pub(super) async fn forget(&self, tenant: &TenantId) {
        self.signing.invalidate(tenant).await;
    }

    /// The public key of that kid, if the tenant has it. The kid is compared, never looked up by.
    pub(super) async fn verifying(&self, tenant: &TenantId, kid: &str) -> Result<Option<Arc<DecodingKey>>> {
        if let Some(cached) = self.verifying.get(tenant).await {
            let found = cached.find(kid);
            if found.is_some() || cached.asked_at.elapsed() < RELOAD_AFTER {
                return Ok(found);
            }
        }
        let asked_at = Instant::now();
        let stored = self.store.keys(&self.scope, tenant).await?;
        let keys = stored.into_iter().map(|key| (key.kid, Arc::new(DecodingKey::from_ed_der(&key.public))));
        let verifying = Arc::new(Verifying { keys: keys.collect(), asked_at });
        self.verifying.insert(tenant.clone(), verifying.clone()).await;
        Ok(verifying.find(kid))
    }

    async fn generate(&self, tenant: &TenantId) -> Result<SigningKey> {
        let failed = |_| Error::internal("token.key", "cannot make a signing key");
        let (public, private) = {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            let private = Secret::new(pair.to_pkcs8().map_err(failed)?.as_ref().to_vec());
            (pair.public_key().as_ref().to_vec(), private)
        };
        let kid = uuid::Uuid::new_v4().simple().to_string();
        let sealed = self.sealing.seal(&self.scope, tenant, &kid, private.expose()).await?;
        Ok(SigningKey { tenant: tenant.clone(), kid, public, sealed, created_at: self.clock.now() })
    }
}

impl Verifying {
    fn find(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        self.keys.iter().find(|(known, _)| known == kid).map(|(_, key)| key.clone())
    }
}
