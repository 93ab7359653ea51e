//! A tenant's keys, ready to sign and to verify.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{DecodingKey, jwk::JwkSet};
use mcp_core::{
    Error, PlatformScope, Result,
    clock::{Clock, Timestamp},
    key::{DataKeys, MasterKey},
    scope::{PrincipalId, TenantId},
};
use moka::future::Cache;
use tokio::time::Instant;

use super::{
    KeyState, SigningAlgorithm, SigningKey, SigningKeyStore,
    algorithm::Signer,
    rotation::{ALWAYS, Rotation, signing_at},
    sealing::Sealing,
};

/// Tenants whose keys are kept in memory; and opened private keys.
const CACHED: u64 = 10_000;
/// How long a tenant's keys are used without asking the store: how long a key that was removed elsewhere is
/// still one here.
pub(super) const FRESH: Duration = Duration::from_secs(30);
/// An unknown kid asks the store again at most this often for each tenant.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// Makes, keeps and finds the signing keys of tenants.
///
/// A rotation made elsewhere is followed to the moment: a next key is known before it signs, since whoever
/// meets an unknown kid looks once a second and a next key is published for five seconds at least. A removal
/// made elsewhere is seen within 30 seconds.
#[derive(Debug)]
pub struct Keyring {
    store: Arc<dyn SigningKeyStore>,
    sealing: Sealing,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    first: SigningAlgorithm,
    known: Cache<TenantId, Arc<Known>>,
    /// The key each tenant signs with, kept no longer than the data key that opens it.
    opened: Cache<TenantId, Arc<Signing>>,
}

/// The key a tenant signs with.
pub(super) struct Signing {
    pub(super) kid: String,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key: Signer,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signing({})", self.kid)
    }
}

/// A key that verifies, and the one algorithm it is for.
pub(super) struct Verifying {
    pub(super) algorithm: SigningAlgorithm,
    pub(super) key: DecodingKey,
    until: Option<Timestamp>,
}

/// What is known of a tenant's keys.
struct Known {
    stored: Vec<SigningKey>,
    verifying: Vec<(String, Arc<Verifying>)>,
    /// When the store was asked, not when it answered: a slow answer is already old.
    asked_at: Instant,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.verifying.iter().map(|(kid, _)| kid)).finish()
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
        let opened_for = data_keys.ttl();
        Ok(Self {
            store,
            sealing: Sealing::new(data_keys, master),
            clock,
            scope: PlatformScope::new(PrincipalId::parse("token-issuer")?, "sign and verify tokens"),
            first: SigningAlgorithm::default(),
            known: Cache::builder().max_capacity(CACHED).time_to_live(FRESH).build(),
            opened: Cache::builder().max_capacity(CACHED).time_to_live(opened_for).build(),
        })
    }

    /// The same, with tenants' first keys made for `algorithm`. Default EdDSA.
    #[must_use]
    pub fn with_first(mut self, algorithm: SigningAlgorithm) -> Self {
        self.first = algorithm;
        self
    }

    /// The tenant's keys that verify at `now`, next ones included, as a JWK set (RFC 7517): public halves
    /// alone. Empty where it has none.
    pub(super) async fn jwks(&self, tenant: &TenantId) -> Result<JwkSet> {
        let known = self.known(tenant).await?;
        let now = self.clock.now();
        let published = known.stored.iter().filter(|key| key.state(now) != KeyState::Retired);
        let keys = published.map(|key| key.algorithm.jwk(&key.kid, &key.public)).collect::<Result<_>>()?;
        Ok(JwkSet { keys })
    }

    /// Makes the key that follows the one `tenant` signs with; `overlap` is how long that one still verifies.
    pub(super) async fn rotate(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        rotation: Rotation,
        overlap: Duration,
    ) -> Result<SigningKey> {
        rotation.validate()?;
        let mut key = self.generate(tenant, rotation.algorithm).await?;
        key.active_from = key.created_at.after(rotation.lead);
        let kept = self.store.rotate(scope, key, overlap).await?;
        self.forget(tenant).await;
        Ok(kept)
    }

    /// Forgets what is known of the tenant's keys, and closes the one it signs with: called where they, or what
    /// they are sealed with, were just changed.
    pub(super) async fn forget(&self, tenant: &TenantId) {
        self.known.invalidate(tenant).await;
        self.opened.invalidate(tenant).await;
    }

    /// The key `tenant` signs with, made now if it has none.
    ///
    /// Whoever calls this has made sure that the tenant exists.
    pub(super) async fn signing(&self, tenant: &TenantId) -> Result<Arc<Signing>> {
        let known = self.known(tenant).await?;
        if let Some(key) = signing_at(&known.stored, self.clock.now()) {
            return self.opened(key).await;
        }
        if !known.stored.is_empty() {
            return Err(Error::unavailable(
                "token.key",
                "none of the tenant's signing keys signs now; rotate them",
            ));
        }
        let key = self.generate(tenant, self.first).await?;
        let kept = self.store.first(&self.scope, key).await?;
        self.forget(tenant).await;
        self.opened(&kept).await
    }

    /// The public key of that kid, if the tenant has it. The kid is compared, never looked up by.
    pub(super) async fn verifying(&self, tenant: &TenantId, kid: &str) -> Result<Option<Arc<Verifying>>> {
        let known = self.known(tenant).await?;
        let mut found = known.find(kid);
        if found.is_none() && known.asked_at.elapsed() >= RELOAD_AFTER {
            found = self.load(tenant).await?.find(kid);
        }
        let now = self.clock.now();
        Ok(found.filter(|key| key.until.is_none_or(|until| now < until)))
    }

    async fn known(&self, tenant: &TenantId) -> Result<Arc<Known>> {
        match self.known.get(tenant).await.filter(|known| known.asked_at.elapsed() < FRESH) {
            Some(known) => Ok(known),
            None => self.load(tenant).await,
        }
    }

    async fn load(&self, tenant: &TenantId) -> Result<Arc<Known>> {
        let asked_at = Instant::now();
        let stored = self.store.keys(&self.scope, tenant).await?;
        let verifying = stored.iter().map(|key| {
            let decoding = key.algorithm.decoding_key(&key.public);
            let verifying = Verifying { algorithm: key.algorithm, key: decoding, until: key.verifies_until };
            (key.kid.clone(), Arc::new(verifying))
        });
        let known = Arc::new(Known { verifying: verifying.collect(), stored, asked_at });
        self.known.insert(tenant.clone(), known.clone()).await;
        Ok(known)
    }

    async fn opened(&self, key: &SigningKey) -> Result<Arc<Signing>> {
        if let Some(signing) = self.opened.get(&key.tenant).await.filter(|signing| signing.kid == key.kid) {
            return Ok(signing);
        }
        let private = self.sealing.open(&self.scope, &key.tenant, &key.kid, key.sealed.clone()).await?;
        let opened = Signer::open(key.algorithm, private.expose())?;
        let signing = Arc::new(Signing { kid: key.kid.clone(), algorithm: key.algorithm, key: opened });
        self.opened.insert(key.tenant.clone(), signing.clone()).await;
        Ok(signing)
    }

    async fn generate(&self, tenant: &TenantId, algorithm: SigningAlgorithm) -> Result<SigningKey> {
        // RSA takes long enough to be felt by every request on this thread.
        let made = tokio::task::spawn_blocking(move || algorithm.generate())
            .await
            .map_err(|error| Error::internal("token.key", "making a key failed").with_source(error))??;
        let kid = uuid::Uuid::new_v4().simple().to_string();
        let sealed = self.sealing.seal(&self.scope, tenant, &kid, made.private.expose()).await?;
        let now = self.clock.now();
        Ok(SigningKey {
            tenant: tenant.clone(),
            kid,
            algorithm,
            public: made.public,
            sealed,
            created_at: now,
            active_from: ALWAYS,
            signs_until: None,
            verifies_until: None,
        })
    }
}

impl Known {
    fn find(&self, kid: &str) -> Option<Arc<Verifying>> {
        self.verifying.iter().find(|(known, _)| known == kid).map(|(_, key)| key.clone())
    }
}
