//! The whole of it, put together in one place.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    Error, ErrorKind, PlatformScope, Result,
    clock::{Clock, SystemClock},
    key::{DataKeyStore, DataKeys, DataKeysConfig, MasterKey, MasterKeyVault, MemoryDataKeyStore},
    scope::{Principal, TenantId},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Authenticators,
    certificate::{CertificateAuthenticator, CertificateStore, MemoryCertificateStore},
    issuer::{IssuerStore, Issuers, MemoryIssuerStore},
    key::{
        self, ApiKey, ApiKeyAuthenticator, IssuedKey, KeyId, KeyStore, MemoryKeyStore, NewApiKey, StoredKey,
    },
    operator::{MemoryOperatorKeyStore, OperatorAuthenticator, OperatorKeyStore},
    quota::{MemoryQuotaStore, QuotaStore},
    refresh::{MemoryRefreshStore, RefreshStore},
    revocation::{MemoryRevocationStore, RevocationDirectory, RevocationStore},
    tenant::{
        self, DirectoryConfig, MemoryTenantStore, NewTenant, Page, Tenant, TenantDirectory, TenantProfile,
        TenantStore,
    },
    token::{
        Grant, IssuedToken, Keyring, MemorySigningKeyStore, PlatformJwtAuthenticator, SigningKeyStore,
        TokenConfig, TokenIssuer, TokenVerifier,
    },
};

/// How often a declared tenant that others change at the same time is tried again.
const LOAD_TRIES: usize = 5;

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
    /// [`Internal`](ErrorKind::Internal) if the machine has no randomness.
    pub fn memory(tokens: TokenConfig) -> Result<Self> {
        let master = MasterKey::ephemeral()?;
        Ok(Self {
            tenants: Arc::new(MemoryTenantStore::default()),
            keys: Arc::new(MemoryKeyStore::default()),
            operator_keys: Arc::new(MemoryOperatorKeyStore::default()),
            signing_keys: Arc::new(MemorySigningKeyStore::default()),
            issuers: Arc::new(MemoryIssuerStore::default()),
            revocations: Arc::new(MemoryRevocationStore::default()),
            refresh: Arc::new(MemoryRefreshStore::default()),
            certificates: Arc::new(MemoryCertificateStore::default()),
            quotas: Arc::new(MemoryQuotaStore::default()),
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
        modes: tenant::TierModes,
        master: MasterKey,
        tokens: TokenConfig,
    ) -> Self {
        Self {
            tenants: Arc::new(tenant::SqliteTenantStore::new(kernel.clone(), modes)),
            keys: Arc::new(key::SqliteKeyStore::new(kernel.clone())),
            operator_keys: Arc::new(crate::operator::SqliteOperatorKeyStore::new(kernel.clone())),
            signing_keys: Arc::new(crate::token::SqliteSigningKeyStore::new(kernel.clone())),
            issuers: Arc::new(crate::issuer::SqliteIssuerStore::new(kernel.clone())),
            revocations: Arc::new(crate::revocation::SqliteRevocationStore::new(kernel.clone())),
            refresh: Arc::new(crate::refresh::SqliteRefreshStore::new(kernel.clone())),
            certificates: Arc::new(crate::certificate::SqliteCertificateStore::new(kernel.clone())),
            quotas: Arc::new(crate::quota::SqliteQuotaStore::new(kernel.clone(), Default::default())),
            data_keys: data_keys(Arc::new(mcp_core::key::SqliteDataKeyStore::new(kernel.clone())), &master),
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
        modes: tenant::TierModes,
        master: MasterKey,
        tokens: TokenConfig,
    ) -> Self {
        Self {
            tenants: Arc::new(tenant::PostgresTenantStore::new(kernel.clone(), modes)),
            keys: Arc::new(key::PostgresKeyStore::new(kernel.clone())),
            operator_keys: Arc::new(crate::operator::PostgresOperatorKeyStore::new(kernel.clone())),
            signing_keys: Arc::new(crate::token::PostgresSigningKeyStore::new(kernel.clone())),
            issuers: Arc::new(crate::issuer::PostgresIssuerStore::new(kernel.clone())),
            revocations: Arc::new(crate::revocation::PostgresRevocationStore::new(kernel.clone())),
            refresh: Arc::new(crate::refresh::PostgresRefreshStore::new(kernel.clone())),
            certificates: Arc::new(crate::certificate::PostgresCertificateStore::new(kernel.clone())),
            quotas: Arc::new(crate::quota::PostgresQuotaStore::new(kernel.clone(), Default::default())),
            data_keys: data_keys(Arc::new(mcp_core::key::PostgresDataKeyStore::new(kernel.clone())), &master),
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
    tenants: Arc<dyn TenantStore>,
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

/// What loading declared tenants did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Tenants that were not there.
    pub created: usize,
    /// Tenants that were different.
    pub updated: usize,
    /// Tenants that were as declared.
    pub unchanged: usize,
}

impl Tenancy {
    /// Reads all tenants and begins to follow changes to them, until [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the tenant store does not answer.
    pub async fn open(deps: TenancyDeps) -> Result<Self> {
        let directory = TenantDirectory::open(deps.tenants.clone(), deps.directory).await?;
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

    /// Creates a tenant.
    ///
    /// # Errors
    /// As [`TenantStore::create`].
    pub async fn create_tenant(&self, scope: &PlatformScope, new: NewTenant) -> Result<Tenant> {
        self.noted(self.tenants.create(scope, new).await)
    }

    /// The tenant.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Unavailable`](ErrorKind::Unavailable).
    pub async fn tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.tenants.get(scope, id).await?.ok_or_else(|| tenant::not_found("tenant.get", id))
    }

    /// One page of all tenants.
    ///
    /// # Errors
    /// As [`TenantStore::list`].
    pub async fn tenants(
        &self,
        scope: &PlatformScope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        self.tenants.list(scope, cursor, limit).await
    }

    /// Replaces a tenant's profile.
    ///
    /// # Errors
    /// As [`TenantStore::update`].
    pub async fn update_tenant(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        expected_version: i64,
    ) -> Result<Tenant> {
        self.noted(self.tenants.update(scope, id, profile, expected_version).await)
    }

    /// Suspends a tenant: here its calls and streams end at once, elsewhere within the poll interval.
    ///
    /// # Errors
    /// As [`TenantStore::suspend`].
    pub async fn suspend_tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.noted(self.tenants.suspend(scope, id).await)
    }

    /// Lets a suspended tenant be used again.
    ///
    /// # Errors
    /// As [`TenantStore::resume`].
    pub async fn resume_tenant(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.noted(self.tenants.resume(scope, id).await)
    }

    /// Creates the tenants that the YAML `text` declares, and updates those that are different; `file` names
    /// it in errors. Doing it twice changes nothing. A tenant that is not declared stays as it is.
    ///
    /// # Errors
    /// As [`declared_tenants`](tenant::declared_tenants), before anything is changed;
    /// [`Conflict`](ErrorKind::Conflict) if a tenant is declared with another schema than it has; as the
    /// store's otherwise, with the tenants before it loaded.
    pub async fn load_tenants(&self, scope: &PlatformScope, file: &str, text: &str) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        for declared in tenant::declared_tenants(file, text)? {
            *self.load_one(scope, declared).await?.of(&mut loaded) += 1;
        }
        Ok(loaded)
    }

    async fn load_one(&self, scope: &PlatformScope, declared: NewTenant) -> Result<LoadedAs> {
        let mut last = None;
        for _ in 0..LOAD_TRIES {
            let (result, done) = match self.tenants.get(scope, &declared.id).await? {
                None => (self.create_tenant(scope, declared.clone()).await, LoadedAs::Created),
                Some(stored) if stored.schema != declared.schema => return Err(other_schema(&stored)),
                Some(stored) if stored.profile == declared.profile => return Ok(LoadedAs::Unchanged),
                Some(stored) => {
                    let profile = declared.profile.clone();
                    let updated = self.update_tenant(scope, &stored.id, profile, stored.version).await;
                    (updated, LoadedAs::Updated)
                }
            };
            match result {
                Ok(_) => return Ok(done),
                // Another replica loads the same file: look again.
                Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::internal("tenant.load", "no attempt was made")))
    }

    /// Creates an API key; its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput), [`NotFound`](ErrorKind::NotFound) if there is no such
    /// tenant, [`Conflict`](ErrorKind::Conflict) if it has as many keys as it may have,
    /// [`Unavailable`](ErrorKind::Unavailable).
    pub async fn create_key(&self, scope: &PlatformScope, new: NewApiKey) -> Result<IssuedKey> {
        let now = self.clock.now();
        new.validate(now)?;
        self.tenant(scope, &new.tenant).await?;
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
    /// As [`TokenIssuer::issue`]; [`NotFound`](ErrorKind::NotFound) if there is no such tenant,
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if it is suspended.
    pub async fn issue_token(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        principal: &Principal,
        lifetime: Duration,
    ) -> Result<IssuedToken> {
        if !self.tenant(scope, tenant).await?.is_active() {
            return Err(Error::permission_denied(
                "token.issue",
                format!("the tenant `{tenant}` is suspended; resume it first"),
            ));
        }
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

    fn noted(&self, changed: Result<Tenant>) -> Result<Tenant> {
        changed.inspect(|tenant| self.directory.note(tenant))
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        // Joining needs an await; but nothing may go on for an owner that is gone.
        self.shutdown.cancel();
    }
}

enum LoadedAs {
    Created,
    Updated,
    Unchanged,
}

impl LoadedAs {
    const fn of(self, loaded: &mut Loaded) -> &mut usize {
        match self {
            Self::Created => &mut loaded.created,
            Self::Updated => &mut loaded.updated,
            Self::Unchanged => &mut loaded.unchanged,
        }
    }
}

fn other_schema(stored: &Tenant) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "tenant.load",
        format!("the tenant `{}` has the schema `{}`, which cannot be changed", stored.id, stored.schema),
    )
}
