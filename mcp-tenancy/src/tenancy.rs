//! The whole of it, put together in one place.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock},
    erase::TenantEraser,
    key::{DataKeyStore, DataKeys, DataKeysConfig, MasterKey, MasterKeyVault, MemoryDataKeyStore},
    scope::{Principal, TenantId},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Authenticators,
    certificate::{CertificateAuthenticator, CertificateStore},
    erasure::MemoryStores,
    issuer::{IssuerStore, Issuers},
    key::{self, ApiKey, ApiKeyAuthenticator, IssuedKey, KeyId, KeyStore, NewApiKey, StoredKey},
    operator::{MemoryOperatorKeyStore, OperatorAuthenticator, OperatorKeyStore},
    quota::QuotaStore,
    refresh::RefreshStore,
    revocation::{RevocationDirectory, RevocationStore},
    tenant::{DirectoryConfig, MemoryTenantStore, Page, Regions, TenantDirectory, TenantStore},
    token::{
        Grant, IssuedToken, Keyring, PlatformJwtAuthenticator, SigningKeyStore, TokenConfig, TokenIssuer,
        TokenVerifier,
    },
};

/// How long a process may go on writing for a tenant that was closed: a minute for what it remembers of places, and a
/// statement. An erasure waits for it.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const SETTLE: Duration = Duration::from_secs(90);

/// What a [`Tenancy`] stands on.
#[derive(Debug, Clone)]
pub struct TenancyDeps {
    /// Where tenants are kept.
    pub tenants: Arc<dyn TenantStore>,
    /// Where API keys are kept.
    pub keys: Arc<dyn KeyStore>,
    /// Where the keys of operators are kept.
    pub operator_keys: Arc<dyn OperatorKeyStore>,
    /// Where signing keys are kept.
    pub signing_keys: Arc<dyn SigningKeyStore>,
    /// Where lineages of refresh tokens are kept.
    pub refresh: Arc<dyn RefreshStore>,
    /// Where registered client certificates are kept.
    pub certificates: Arc<dyn CertificateStore>,
    /// Where foreign issuers are kept.
    pub issuers: Arc<dyn IssuerStore>,
    /// Where revocations of tokens are kept.
    pub revocations: Arc<dyn RevocationStore>,
    /// What seals what is a tenant's, such as the private halves of its signing keys. The constructors here
    /// keep data keys beside the tenants, wrapped by the master key; replace it for another vault.
    pub data_keys: Arc<DataKeys>,
    /// Where quotas, and what was used of them, are kept.
    pub quotas: Arc<dyn QuotaStore>,
    /// What seals the secrets that issuers ask for, and opens signing keys from before there were data keys.
    pub master: MasterKey,
    /// The regions whose tenants live here. Default: `local` alone. Where others have databases of their own, the store
    /// of tenants is told too.
    pub regions: Regions,
    /// What erases what these stores have of a tenant.
    pub erasers: Vec<Arc<dyn TenantEraser>>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Who issues tokens, and what for.
    pub tokens: TokenConfig,
    /// How changes made elsewhere are followed.
    pub directory: DirectoryConfig,
    /// How many API keys that can be used a tenant may have. Default 1,000.
    pub max_keys: u32,
}

impl TenancyDeps {
    /// All in memory and gone with the process, under a master key that is kept nowhere: for tests, and for
    /// servers whose tenants come from a file.
    ///
    /// # Errors
    /// [`Internal`](mcp_core::ErrorKind::Internal) if the machine has no randomness.
    pub fn memory(tokens: TokenConfig) -> Result<Self> {
        let master = MasterKey::ephemeral()?;
        let stores = MemoryStores::default();
        Ok(Self {
            tenants: Arc::new(MemoryTenantStore::default()),
            keys: Arc::new(stores.keys.clone()),
            operator_keys: Arc::new(MemoryOperatorKeyStore::default()),
            signing_keys: Arc::new(stores.signing_keys.clone()),
            issuers: Arc::new(stores.issuers.clone()),
            revocations: Arc::new(stores.revocations.clone()),
            refresh: Arc::new(stores.refresh.clone()),
            certificates: Arc::new(stores.certificates.clone()),
            quotas: Arc::new(stores.quotas.clone()),
            regions: Regions::default(),
            erasers: vec![Arc::new(stores)],
            data_keys: data_keys(Arc::new(MemoryDataKeyStore::default()), &master),
            master,
            clock: Arc::new(SystemClock),
            tokens,
            directory: DirectoryConfig::default(),
            max_keys: key::DEFAULT_KEY_LIMIT,
        })
    }

    /// All in the kernel's SQLite files; `kernel` was opened with
    /// [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS). The clock is the machine's.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn sqlite(
        kernel: &mcp_core::sql::sqlite::SqliteKernel,
        modes: crate::tenant::TierModes,
        master: MasterKey,
        tokens: TokenConfig,
    ) -> Self {
        Self {
            tenants: Arc::new(crate::tenant::SqliteTenantStore::new(kernel.clone(), modes)),
            keys: Arc::new(key::SqliteKeyStore::new(kernel.clone())),
            operator_keys: Arc::new(crate::operator::SqliteOperatorKeyStore::new(kernel.clone())),
            signing_keys: Arc::new(crate::token::SqliteSigningKeyStore::new(kernel.clone())),
            issuers: Arc::new(crate::issuer::SqliteIssuerStore::new(kernel.clone())),
            revocations: Arc::new(crate::revocation::SqliteRevocationStore::new(kernel.clone())),
            refresh: Arc::new(crate::refresh::SqliteRefreshStore::new(kernel.clone())),
            certificates: Arc::new(crate::certificate::SqliteCertificateStore::new(kernel.clone())),
            quotas: Arc::new(crate::quota::SqliteQuotaStore::new(kernel.clone(), Default::default())),
            data_keys: data_keys(Arc::new(mcp_core::key::SqliteDataKeyStore::new(kernel.clone())), &master),
            regions: Regions::default(),
            erasers: vec![Arc::new(mcp_core::sql::sqlite::SqliteEraser::new(kernel.clone(), SETTLE))],
            master,
            clock: Arc::new(SystemClock),
            tokens,
            directory: DirectoryConfig::default(),
            max_keys: key::DEFAULT_KEY_LIMIT,
        }
    }

    /// All in the kernel's PostgreSQL database; `kernel` was installed and connected with
    /// [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS), and has the owner's URL where tenants are
    /// created. The clock is the machine's.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres(
        kernel: &mcp_core::sql::postgres::PgKernel,
        modes: crate::tenant::TierModes,
        master: MasterKey,
        tokens: TokenConfig,
    ) -> Self {
        Self {
            tenants: Arc::new(crate::tenant::PostgresTenantStore::new(kernel.clone(), modes)),
            keys: Arc::new(key::PostgresKeyStore::new(kernel.clone())),
            operator_keys: Arc::new(crate::operator::PostgresOperatorKeyStore::new(kernel.clone())),
            signing_keys: Arc::new(crate::token::PostgresSigningKeyStore::new(kernel.clone())),
            issuers: Arc::new(crate::issuer::PostgresIssuerStore::new(kernel.clone())),
            revocations: Arc::new(crate::revocation::PostgresRevocationStore::new(kernel.clone())),
            refresh: Arc::new(crate::refresh::PostgresRefreshStore::new(kernel.clone())),
            certificates: Arc::new(crate::certificate::PostgresCertificateStore::new(kernel.clone())),
            quotas: Arc::new(crate::quota::PostgresQuotaStore::new(kernel.clone(), Default::default())),
            data_keys: data_keys(Arc::new(mcp_core::key::PostgresDataKeyStore::new(kernel.clone())), &master),
            regions: Regions::default(),
            erasers: vec![Arc::new(mcp_core::sql::postgres::PgEraser::new(kernel.clone(), SETTLE))],
            master,
            clock: Arc::new(SystemClock),
            tokens,
            directory: DirectoryConfig::default(),
            max_keys: key::DEFAULT_KEY_LIMIT,
        }
    }
}

fn data_keys(store: Arc<dyn DataKeyStore>, master: &MasterKey) -> Arc<DataKeys> {
    let vault = Arc::new(MasterKeyVault::new(master.clone()));
    Arc::new(DataKeys::new(store, vault, Arc::new(SystemClock), DataKeysConfig::default()))
}

/// Tenants, keys and tokens: the operations of an administrator, and what the layers ask.
///
/// Changes made here are seen here at once; those made by other replicas within the directory's poll
/// interval.
#[derive(Debug)]
pub struct Tenancy {
    pub(crate) tenants: Arc<dyn TenantStore>,
    pub(crate) regions: Regions,
    pub(crate) erasers: Vec<Arc<dyn TenantEraser>>,
    pub(crate) keys: Arc<dyn KeyStore>,
    max_keys: u32,
    pub(crate) operator_keys: Arc<dyn OperatorKeyStore>,
    pub(crate) signing_keys: Arc<dyn SigningKeyStore>,
    pub(crate) refresh: Arc<dyn RefreshStore>,
    pub(crate) certificates: Arc<dyn CertificateStore>,
    pub(crate) peers: Arc<CertificateAuthenticator>,
    pub(crate) quotas: Arc<dyn QuotaStore>,
    pub(crate) data_keys: Arc<DataKeys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: TokenConfig,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) verifier: Arc<TokenVerifier>,
    directory: Arc<TenantDirectory>,
    pub(crate) issuer: TokenIssuer,
    pub(crate) api_keys: Arc<ApiKeyAuthenticator>,
    pub(crate) operators: Arc<OperatorAuthenticator>,
    platform_tokens: Arc<PlatformJwtAuthenticator>,
    pub(crate) issuers: Issuers,
    pub(crate) revocation_store: Arc<dyn RevocationStore>,
    pub(crate) revocations: Arc<RevocationDirectory>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Tenancy {
    /// Reads all tenants and begins to follow changes to them, until [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the tenant store does not answer.
    pub async fn open(deps: TenancyDeps) -> Result<Self> {
        let regions = Some(deps.regions.clone());
        let directory = TenantDirectory::open_for(deps.tenants.clone(), deps.directory, regions).await?;
        let revocations =
            RevocationDirectory::open(deps.revocations.clone(), deps.clock.clone(), deps.directory).await?;
        let issuers = Issuers::new(deps.issuers, deps.master.clone(), deps.directory);
        let (signing_keys, data_keys) = (deps.signing_keys.clone(), deps.data_keys.clone());
        let keyring = Keyring::new(signing_keys, data_keys, deps.master, deps.clock.clone())?;
        let keyring = Arc::new(keyring.with_first(deps.tokens.algorithm));
        let tokens = deps.tokens;
        let issuer = TokenIssuer::new(keyring.clone(), deps.clock.clone(), tokens.clone());
        let verifier = Arc::new(TokenVerifier::new(
            keyring.clone(),
            directory.clone(),
            revocations.clone(),
            deps.clock.clone(),
            tokens.clone(),
        ));
        let api_keys = Arc::new(ApiKeyAuthenticator::new(deps.keys.clone(), deps.clock.clone())?);
        let operators = Arc::new(OperatorAuthenticator::new(deps.operator_keys.clone(), deps.clock.clone())?);
        let platform_tokens = Arc::new(PlatformJwtAuthenticator::new(verifier.clone()));

        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (follower, until) = (directory.clone(), shutdown.clone());
        tasks.spawn(async move { follower.run(until).await });
        let (used, until) = (api_keys.clone(), shutdown.clone());
        tasks.spawn(async move { used.run(until).await });
        let (follower, until) = (revocations.clone(), shutdown.clone());
        tasks.spawn(async move { follower.run(until).await });
        tasks.close();
        Ok(Self {
            tenants: deps.tenants,
            regions: deps.regions,
            erasers: deps.erasers,
            keys: deps.keys,
            max_keys: deps.max_keys,
            operator_keys: deps.operator_keys,
            signing_keys: deps.signing_keys,
            refresh: deps.refresh,
            peers: Arc::new(CertificateAuthenticator::new(deps.certificates.clone(), deps.clock.clone())?),
            certificates: deps.certificates,
            quotas: deps.quotas,
            data_keys: deps.data_keys,
            clock: deps.clock,
            tokens,
            keyring,
            verifier,
            directory,
            issuer,
            api_keys,
            operators,
            platform_tokens,
            issuers,
            revocation_store: deps.revocations,
            revocations,
            shutdown,
            tasks,
        })
    }

    /// Stops following changes, and writes when keys were last used. What was handed out goes on with the last
    /// state until the directory's hold has passed.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.wait().await;
    }

    /// What the tenant layer asks.
    #[must_use]
    pub const fn directory(&self) -> &Arc<TenantDirectory> {
        &self.directory
    }

    /// What the authentication layer asks: API keys, then the platform's own tokens; client certificates of the
    /// connection.
    #[must_use]
    pub fn authenticators(&self) -> Authenticators {
        Authenticators::new(vec![self.api_keys.clone(), self.platform_tokens.clone()])
            .with_connection(self.peers.clone())
    }

    /// Creates an API key; its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such
    /// tenant, [`Conflict`](mcp_core::ErrorKind::Conflict) if it has as many keys as it may have,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn create_key(&self, scope: &PlatformScope, new: NewApiKey) -> Result<IssuedKey> {
        let now = self.clock.now();
        new.validate(now)?;
        self.kept_tenant(scope, &new.tenant).await?;
        let (id, digest, text) = key::generate(key::PREFIX)?;
        let key = ApiKey::create(new, id, now);
        let stored = StoredKey { key: key.clone(), digest, former: None };
        self.keys.insert(scope, stored, self.max_keys).await?;
        Ok(IssuedKey { key, text })
    }

    /// One page of a tenant's API keys.
    ///
    /// # Errors
    /// As [`KeyStore::list`].
    pub async fn keys(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApiKey>> {
        self.keys.list(scope, tenant, cursor, limit).await
    }

    /// Revokes a tenant's API key: here at once, elsewhere within a second.
    ///
    /// # Errors
    /// As [`KeyStore::revoke`].
    pub async fn revoke_key(&self, scope: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        let revoked = self.keys.revoke(scope, tenant, id).await?;
        self.api_keys.forget(id).await;
        Ok(revoked)
    }

    /// Issues a token for `principal` of an active tenant.
    ///
    /// # Errors
    /// As [`TokenIssuer::issue`]; [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant,
    /// [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) if it, or its organisation, is suspended or deleted.
    pub async fn issue_token(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        principal: &Principal,
        lifetime: Duration,
    ) -> Result<IssuedToken> {
        self.require_open("token.issue", scope, tenant).await?;
        let issued = self.issuer.issue(tenant, principal, lifetime).await?;
        let grant = Grant {
            tenant: tenant.clone(),
            principal: principal.id.clone(),
            token: issued.id.clone(),
            expires_at: issued.expires_at,
        };
        self.signing_keys.record(scope, &grant).await?;
        Ok(issued)
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        // Joining needs an await; but nothing may go on for an owner that is gone.
        self.shutdown.cancel();
    }
}
