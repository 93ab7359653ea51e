//! Data keys in memory, and a vault that does as it is told.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use mcp_core::{
    Error, Result, Scope,
    audit::AuditRecord,
    clock::SystemClock,
    conformance::scope_of,
    key::{
        Column, DataKeyStore, DataKeys, DataKeysConfig, KeyBytes, KeyPlace, KeyVault, MasterKey,
        MasterKeyVault, MemoryDataKeyStore, NewDataKey, Rewrap, Secret, Shredded, StoredDataKey, WrappedKey,
    },
    scope::{PlatformScope, PrincipalId, TenantId},
};

pub(crate) const TEXT: Column = Column::new("note", "text");

pub(crate) fn admin() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

pub(crate) fn scope(tenant: &str) -> Scope {
    scope_of(tenant).unwrap()
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) fn keys_on(store: Arc<dyn DataKeyStore>, vault: Arc<dyn KeyVault>) -> DataKeys {
    DataKeys::new(store, vault, Arc::new(SystemClock), DataKeysConfig::default())
}

/// How a vault fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// It cannot be reached.
    Away,
    /// It never answers.
    Silent,
    /// It answers nonsense.
    Garbled,
    /// It does not let this platform.
    Refusing,
    /// It answers with a key of its own choice.
    Lying,
}

/// A vault of master keys, with moods.
#[derive(Debug)]
pub(crate) struct MoodyVault {
    vault: Mutex<MasterKeyVault>,
    current: Mutex<MasterKey>,
    mood: Mutex<Mood>,
    asked: AtomicU32,
}

impl MoodyVault {
    pub(crate) fn new() -> Arc<Self> {
        let current = MasterKey::ephemeral().unwrap();
        let vault = Mutex::new(MasterKeyVault::new(current.clone()));
        Arc::new(Self {
            vault,
            current: Mutex::new(current),
            mood: Mutex::default(),
            asked: AtomicU32::new(0),
        })
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// A new wrapping key; the one before still opens.
    pub(crate) fn rotate(&self) {
        let mut current = self.current.lock().unwrap();
        let before = std::mem::replace(&mut *current, MasterKey::ephemeral().unwrap());
        *self.vault.lock().unwrap() = MasterKeyVault::new(current.clone()).with_older([before]);
    }

    /// Nothing but the current wrapping key is left.
    pub(crate) fn retire_older(&self) {
        *self.vault.lock().unwrap() = MasterKeyVault::new(self.current.lock().unwrap().clone());
    }

    /// How often it has been asked since the last time.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.swap(0, Ordering::SeqCst)
    }

    async fn mood(&self) -> Result<(MasterKeyVault, bool)> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (mood, vault) = (*self.mood.lock().unwrap(), self.vault.lock().unwrap().clone());
        match mood {
            Mood::Well => Ok((vault, false)),
            Mood::Away => Err(Error::unavailable("test.vault", "away")),
            Mood::Silent => std::future::pending().await,
            Mood::Garbled => Err(Error::upstream("test.vault", "nonsense")),
            Mood::Refusing => Err(Error::permission_denied("test.vault", "no")),
            Mood::Lying => Ok((vault, true)),
        }
    }
}

#[async_trait]
impl KeyVault for MoodyVault {
    async fn wrap_key(&self, place: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        self.mood().await?.0.wrap_key(place, key).await
    }
    async fn unwrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        let (vault, lies) = self.mood().await?;
        if lies { Ok(Secret::new([7; 32])) } else { vault.unwrap_key(place, wrapped).await }
    }
    async fn rewrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<Option<WrappedKey>> {
        self.mood().await?.0.rewrap_key(place, wrapped).await
    }
    async fn current_key(&self) -> Result<String> {
        self.mood().await?.0.current_key().await
    }
}

/// A store in memory that keeps what it records, and can fail to.
#[derive(Debug, Default)]
pub(crate) struct RecordingStore {
    pub(crate) store: MemoryDataKeyStore,
    records: Mutex<Vec<AuditRecord>>,
    pub(crate) full: Mutex<bool>,
}

impl RecordingStore {
    /// What was recorded since the last call: action, resource, actor.
    pub(crate) fn take(&self) -> Vec<(String, String, String)> {
        let records = std::mem::take(&mut *self.lock());
        records.into_iter().map(|r| (r.action.into_owned(), r.resource, r.actor)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AuditRecord>> {
        self.records.lock().unwrap()
    }
}

#[async_trait]
impl DataKeyStore for RecordingStore {
    async fn newest(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Option<StoredDataKey>> {
        self.store.newest(scope, tenant).await
    }
    async fn find(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        version: u32,
    ) -> Result<Option<StoredDataKey>> {
        self.store.find(scope, tenant, version).await
    }
    async fn all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<StoredDataKey>> {
        self.store.all(scope, tenant).await
    }
    async fn first(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        self.store.first(scope, key).await
    }
    async fn rotate(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        self.store.rotate(scope, key).await
    }
    async fn rewrap(&self, scope: &PlatformScope, tenant: &TenantId, keys: &[Rewrap]) -> Result<()> {
        self.store.rewrap(scope, tenant, keys).await
    }
    async fn shred(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Shredded> {
        self.store.shred(scope, tenant).await
    }
    async fn tenants(
        &self,
        scope: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        self.store.tenants(scope, after, limit).await
    }
    async fn wrapping_keys(&self, scope: &PlatformScope) -> Result<Vec<(String, u64)>> {
        self.store.wrapping_keys(scope).await
    }
    async fn record(&self, _: &Scope, record: AuditRecord) -> Result<()> {
        if *self.full.lock().unwrap() {
            return Err(Error::unavailable("test.audit", "the log is full"));
        }
        self.lock().push(record);
        Ok(())
    }
}
