//! A data key for each tenant: envelope encryption.

mod admin;
mod health;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
mod sealed;
mod slots;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

use std::{future::Future, sync::Arc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use moka::future::Cache;
use zeroize::Zeroize as _;

pub use admin::RewrapBatch;
pub use health::{KeyHealth, VaultState};
pub use memory::MemoryDataKeyStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresDataKeyStore;
pub use sealed::{Cell, Column, MAX_PLAINTEXT, Sealed};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteDataKeyStore;
pub use store::{DataKeyStore, KeyState, MAX_DATA_KEYS, NewDataKey, Rewrap, Shredded, StoredDataKey};

use super::{KeyBytes, KeyPlace, KeyVault, Secret, master};
use crate::{
    audit::AuditRecord,
    clock::Clock,
    error::{Error, ErrorKind, Result},
    scope::{PlatformScope, Scope, TenantId},
};
use health::Watched;
use sealed::DataKey;
use slots::Slots;

/// How long an unsealing is not recorded again for the same key and process.
const RECORDED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Keys and resources whose unsealing is remembered; those that are forgotten are recorded once more.
const RECORDED: u64 = 100_000;

/// How open data keys are kept in memory.
#[derive(Debug, Clone, Copy)]
pub struct DataKeysConfig {
    /// How long an open key is used before store and vault are asked again; so this long, at most, a key that
    /// was shredded by another process, or that the vault does not give any more, goes on. Default 60 s.
    pub ttl: Duration,
    /// How long an open key goes on, since it was confirmed last, while the store or the vault is away. After
    /// that what it seals is closed. Default 15 minutes.
    pub hold: Duration,
    /// How long the vault may take for an answer. Default 5 s.
    pub patience: Duration,
    /// Open keys kept in memory; those used least go first. Default 10,000.
    pub capacity: u64,
}

impl Default for DataKeysConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            hold: Duration::from_secs(15 * 60),
            patience: Duration::from_secs(5),
            capacity: 10_000,
        }
    }
}

/// Seals what is a tenant's with a data key of that tenant's own, made when it is first needed.
///
/// A data key is an AES-256-GCM key, wrapped by a [`KeyVault`] and kept in a [`DataKeyStore`]. It is opened
/// once and then kept in memory, as [`DataKeysConfig`] says. A key should seal at most 2³² values:
/// [`rotate`](Self::rotate) before that.
///
/// Promises:
/// - What is sealed opens for its tenant, in its cell, unaltered; nothing else opens.
/// - After a rotation the new key seals, and what earlier keys sealed still opens.
/// - After [`shred`](Self::shred) nothing of that tenant opens any more: here at once, in other processes
///   within [`ttl`](DataKeysConfig::ttl). Nothing is ever sealed for it again.
/// - The first unsealing of each key by a process is in the tenant's audit log before the key is used (and
///   again once a day), each [`reveal`](Self::reveal) before the value is handed out.
/// - A vault that is away, slow or lying closes what is not open; what is open goes on for
///   [`hold`](DataKeysConfig::hold). A vault that refuses closes everything within `ttl`.
///
/// ```
/// use std::sync::Arc;
///
/// use mcp_core::{
///     clock::SystemClock,
///     key::{Column, DataKeys, DataKeysConfig, MasterKey, MasterKeyVault, MemoryDataKeyStore, Sealed},
///     scope::{Permissions, PlatformScope, Principal, PrincipalId, PrincipalKind, Scope, TenantId},
/// };
///
/// const TOKEN: Column = Column::new("connection", "token");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> mcp_core::Result<()> {
/// let vault = Arc::new(MasterKeyVault::new(MasterKey::ephemeral()?));
/// let store = Arc::new(MemoryDataKeyStore::default());
/// let keys = DataKeys::new(store, vault, Arc::new(SystemClock), DataKeysConfig::default());
///
/// # let principal =
/// #     Principal { id: PrincipalId::parse("u1")?, kind: PrincipalKind::User, permissions: Permissions::default() };
/// let scope = Scope::new(TenantId::parse("acme")?, Arc::new(principal));
/// let sealed = keys.seal(&scope, TOKEN.row("crm"), b"t0ken").await?;
/// let stored: Vec<u8> = sealed.into_bytes();
///
/// let sealed = Sealed::from_stored(stored)?;
/// assert_eq!(keys.open(&scope, TOKEN.row("crm"), &sealed).await?.expose(), b"t0ken");
/// assert!(keys.open(&scope, TOKEN.row("mail"), &sealed).await.is_err());
///
/// let operator = PlatformScope::new(PrincipalId::parse("operator")?, "the customer left");
/// keys.shred(&operator, scope.tenant()).await?;
/// assert!(keys.open(&scope, TOKEN.row("crm"), &sealed).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DataKeys {
    store: Arc<dyn DataKeyStore>,
    vault: Watched,
    config: DataKeysConfig,
    /// The version each tenant seals with.
    current: Slots<TenantId, u32>,
    open: Slots<(TenantId, u32), Arc<DataKey>>,
    recorded: Cache<String, ()>,
}

impl DataKeys {
    /// Keys kept in `store`, wrapped by `vault`.
    #[must_use]
    pub fn new(
        store: Arc<dyn DataKeyStore>,
        vault: Arc<dyn KeyVault>,
        clock: Arc<dyn Clock>,
        config: DataKeysConfig,
    ) -> Self {
        let DataKeysConfig { ttl, hold, patience, capacity } = config;
        Self {
            store,
            vault: Watched::new(vault, clock, patience),
            config,
            current: Slots::new(capacity, ttl, hold),
            open: Slots::new(capacity, ttl, hold),
            recorded: Cache::builder().max_capacity(RECORDED).time_to_live(RECORDED_FOR).build(),
        }
    }

    /// Seals `plaintext` with the newest key of the scope's tenant, for that cell. The tenant's first key is
    /// made now if it has none: whoever made the scope has made sure that the tenant exists.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) over [`MAX_PLAINTEXT`];
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant was shredded;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if store or vault are away and the key is not open;
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded).
    ///
    /// # Cancellation
    /// May be dropped; a key that was made stays.
    pub async fn seal(&self, scope: &Scope, cell: Cell<'_>, plaintext: &[u8]) -> Result<Sealed> {
        let key = within(scope, self.sealing_key(scope)).await?;
        key.seal(scope.tenant(), cell, plaintext)
    }

    /// Opens what [`seal`](Self::seal) made of a value of that cell, for the platform's own use. What is shown
    /// to somebody is [revealed](Self::reveal).
    ///
    /// # Errors
    /// As [`seal`](Self::seal); [`Corrupted`](crate::ErrorKind::Corrupted) if the value was altered, belongs to
    /// another cell or tenant, or was sealed with a key that the tenant never had.
    pub async fn open(&self, scope: &Scope, cell: Cell<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>> {
        let key = within(scope, self.open_key(scope, sealed.key_version())).await?;
        key.open(scope.tenant(), cell, sealed)
    }

    /// [`open`](Self::open), with a record of its own in the tenant's audit log: who saw which value.
    ///
    /// # Errors
    /// As [`open`](Self::open); those of the audit log, and then the value is not handed out.
    pub async fn reveal(&self, scope: &Scope, cell: Cell<'_>, sealed: &Sealed) -> Result<Secret<Vec<u8>>> {
        let value = self.open(scope, cell, sealed).await?;
        let record = AuditRecord::done(scope, "secret.reveal", cell.to_string());
        within(scope, self.store.record(scope, record)).await?;
        Ok(value)
    }

    /// Records that this process unseals `resource` by other means than a data key: once a day for each
    /// resource of a tenant.
    ///
    /// # Errors
    /// Those of the audit log; the caller does not use what it unsealed then.
    pub async fn record_unsealing(&self, scope: &Scope, resource: &str) -> Result<()> {
        let name = format!("{} {resource}", scope.tenant());
        if self.recorded.contains_key(&name) {
            return Ok(());
        }
        self.store.record(scope, AuditRecord::done(scope, "secret.unseal", resource)).await?;
        self.recorded.insert(name, ()).await;
        Ok(())
    }

    /// How long an open key is used before store and vault are asked again. What is made of an opened value must not be
    /// kept for longer, or a refusal of the vault would not reach it.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.config.ttl
    }

    /// How the vault does, as far as this process has seen. Asks nobody.
    #[must_use]
    pub fn health(&self) -> KeyHealth {
        self.vault.health(self.config.hold)
    }

    async fn sealing_key(&self, scope: &Scope) -> Result<Arc<DataKey>> {
        let version = self.current.get(scope.tenant(), || self.current_version(scope)).await?;
        self.open_key(scope, version).await
    }

    async fn open_key(&self, scope: &Scope, version: u32) -> Result<Arc<DataKey>> {
        self.open.get(&(scope.tenant().clone(), version), || self.unwrapped(scope, version)).await
    }

    async fn current_version(&self, scope: &Scope) -> Result<u32> {
        let above = above(scope);
        let newest = match self.store.newest(&above, scope.tenant()).await? {
            Some(newest) => newest,
            None => self.first(&above, scope.tenant()).await?,
        };
        match newest.state {
            KeyState::Live { .. } => Ok(newest.version),
            KeyState::Destroyed { .. } => Err(store::shredded()),
        }
    }

    /// Makes the tenant's first key; the answer is the one of whoever was first.
    async fn first(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<StoredDataKey> {
        // Taken beforehand: should the tenant be shredded right after, this place is cut off.
        let place = self.open.slot(&(tenant.clone(), 1)).await;
        let (new, key) = self.generate(tenant, 1).await?;
        let check = new.check;
        let kept = self.store.first(scope, new).await?;
        if matches!(&kept.state, KeyState::Live { check: kept, .. } if *kept == check) {
            self.open.fill(&place, Arc::new(key));
        }
        Ok(kept)
    }

    /// A new key and what is stored of it.
    async fn generate(&self, tenant: &TenantId, version: u32) -> Result<(NewDataKey, DataKey)> {
        let mut bytes = master::random()?;
        let secret = Secret::new(bytes);
        bytes.zeroize();
        let place = KeyPlace { tenant, version };
        let wrapped = self.vault.wrap(place, &secret).await?;
        let new = NewDataKey { tenant: tenant.clone(), version, wrapped, check: check_of(place, &secret) };
        Ok((new, DataKey::new(version, &secret)?))
    }

    async fn unwrapped(&self, scope: &Scope, version: u32) -> Result<Arc<DataKey>> {
        let tenant = scope.tenant();
        let unknown = || {
            let message = "a sealed value names a data key that its tenant does not have";
            Error::new(ErrorKind::Corrupted, "key.open", message)
        };
        let stored = self.store.find(&above(scope), tenant, version).await?;
        let Some(stored) = stored else {
            // A tenant that was shredded before it had a key has a tombstone of the first only.
            let newest = self.store.newest(&above(scope), tenant).await?;
            let gone = newest.is_some_and(|newest| matches!(newest.state, KeyState::Destroyed { .. }));
            return Err(if gone { store::shredded() } else { unknown() });
        };
        let KeyState::Live { wrapped, check } = stored.state else { return Err(store::shredded()) };
        let place = KeyPlace { tenant, version };
        let secret = self.vault.unwrap(place, &wrapped).await?;
        if check_of(place, &secret) != check {
            return Err(Error::new(
                ErrorKind::Corrupted,
                "key.open",
                "the key vault answered with another key than the one that was wrapped",
            ));
        }
        self.record_unsealing(scope, &format!("data_key/{version}")).await?;
        DataKey::new(version, &secret).map(Arc::new)
    }
}

/// By which a key is known again. 256 random bits cannot be guessed from it.
fn check_of(place: KeyPlace<'_>, key: &KeyBytes) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let version = place.version.to_string();
    context.update(&master::associated(&["mcp-data-key", place.tenant.as_str(), &version]));
    context.update(key.expose());
    let mut check = [0; 32];
    check.copy_from_slice(context.finish().as_ref());
    check
}

/// The scope in which the control tables are read, and a tenant's first key is made, for a tenant's scope.
fn above(scope: &Scope) -> PlatformScope {
    PlatformScope::new(scope.principal().id.clone(), "the tenant's data key is needed")
        .with_request_id(scope.request_id().clone())
}

/// Bounds `work` by the scope's deadline.
async fn within<T>(scope: &Scope, work: impl Future<Output = Result<T>>) -> Result<T> {
    if scope.deadline().is_none() {
        return work.await;
    }
    let late = |_| Error::new(ErrorKind::DeadlineExceeded, "key.open", "the data key did not come in time");
    tokio::time::timeout(scope.remaining(Duration::MAX), work).await.map_err(late)?
}
