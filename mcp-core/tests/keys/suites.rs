//! The suites, and proof that they bite.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    conformance::{VaultHarness, run_data_key_store, run_key_vault},
    key::{
        DataKeyStore, KeyBytes, KeyPlace, KeyVault, MasterKey, MasterKeyVault, MemoryDataKeyStore,
        NewDataKey, Rewrap, Secret, Shredded, StoredDataKey, VaultSuccession, WrappedKey,
    },
    scope::{PlatformScope, TenantId},
};

use crate::support::tenant;

fn harness(wrap: fn(MasterKeyVault) -> Arc<dyn KeyVault>) -> VaultHarness {
    let (old, new) = (MasterKey::ephemeral().unwrap(), MasterKey::ephemeral().unwrap());
    let rotated = MasterKeyVault::new(new).with_older([old.clone()]);
    VaultHarness {
        vault: wrap(MasterKeyVault::new(old)),
        rotate: Box::new(move || {
            let rotated = wrap(rotated.clone());
            Box::pin(async { Ok(rotated) })
        }),
        stranger: wrap(MasterKeyVault::new(MasterKey::ephemeral().unwrap())),
    }
}

#[tokio::test]
async fn master_keys_are_a_vault() {
    let report = run_key_vault(&harness(|vault| Arc::new(vault))).await;
    assert_eq!(report.failures(), None);
}

#[tokio::test]
async fn master_keys_in_files_and_in_the_environment_are_a_vault() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("master.key");
    let old = MasterKey::load_or_create(&file).unwrap();
    let text = Secret::new(std::fs::read_to_string(&file).unwrap());
    let new = MasterKey::load_or_create(&directory.path().join("next.key")).unwrap();
    let harness = VaultHarness {
        vault: Arc::new(MasterKeyVault::new(old)),
        rotate: Box::new(move || {
            let older = MasterKey::from_base64(&text).unwrap();
            let vault = MasterKeyVault::new(new.clone()).with_older([older]);
            Box::pin(async { Ok(Arc::new(vault) as Arc<dyn KeyVault>) })
        }),
        stranger: Arc::new(MasterKeyVault::new(MasterKey::ephemeral().unwrap())),
    };
    assert_eq!(run_key_vault(&harness).await.failures(), None);
}

#[tokio::test]
async fn vaults_in_succession_are_a_vault() {
    let before: Arc<dyn KeyVault> = Arc::new(MasterKeyVault::new(MasterKey::ephemeral().unwrap()));
    let after: Arc<dyn KeyVault> = Arc::new(MasterKeyVault::new(MasterKey::ephemeral().unwrap()));
    let earlier = before.clone();
    let harness = VaultHarness {
        vault: Arc::new(VaultSuccession::new(before, vec![])),
        rotate: Box::new(move || {
            let vault = VaultSuccession::new(after.clone(), vec![earlier.clone()]);
            Box::pin(async { Ok(Arc::new(vault) as Arc<dyn KeyVault>) })
        }),
        stranger: Arc::new(MasterKeyVault::new(MasterKey::ephemeral().unwrap())),
    };
    assert_eq!(run_key_vault(&harness).await.failures(), None);
}

/// A vault that forgets what the key is for, which key wrapped it, and that wrapping anew is more than renaming.
#[derive(Debug)]
struct SloppyVault(MasterKeyVault);

#[async_trait]
impl KeyVault for SloppyVault {
    async fn wrap_key(&self, _: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        self.0.wrap_key(KeyPlace { tenant: &tenant("any"), version: 1 }, key).await
    }
    async fn unwrap_key(&self, _: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        self.0.unwrap_key(KeyPlace { tenant: &tenant("any"), version: 1 }, wrapped).await
    }
    async fn rewrap_key(&self, _: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<Option<WrappedKey>> {
        let wrapping_key = self.0.current_key().await?;
        Ok((wrapping_key != wrapped.wrapping_key).then(|| WrappedKey { wrapping_key, ..wrapped.clone() }))
    }
    async fn current_key(&self) -> Result<String> {
        self.0.current_key().await
    }
}

/// No vault at all: a box that is open.
#[derive(Debug)]
struct OpenBox;

#[async_trait]
impl KeyVault for OpenBox {
    async fn wrap_key(&self, _: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        Ok(WrappedKey { wrapping_key: "box:1".to_owned(), bytes: key.expose().to_vec() })
    }
    async fn unwrap_key(&self, _: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        let mut key = [0; 32];
        key.iter_mut().zip(&wrapped.bytes).for_each(|(to, from)| *to = *from);
        Ok(Secret::new(key))
    }
    async fn rewrap_key(&self, _: KeyPlace<'_>, _: &WrappedKey) -> Result<Option<WrappedKey>> {
        Ok(None)
    }
    async fn current_key(&self) -> Result<String> {
        Ok("box:1".to_owned())
    }
}

#[tokio::test]
async fn sloppy_vaults_are_found_out() {
    let report = run_key_vault(&harness(|vault| Arc::new(SloppyVault(vault)))).await;
    assert!(report.failed("opens_in_its_place_only"), "{report:?}");
    assert!(report.failed("rotation_is_seen_and_keeps_what_was"), "{report:?}");
    let report = run_key_vault(&harness(|_| Arc::new(OpenBox))).await;
    assert_eq!(report.cases.iter().filter(|(_, outcome)| outcome.is_err()).count(), 4, "{report:?}");
}

#[tokio::test]
async fn the_memory_store() {
    let store: Arc<dyn DataKeyStore> = Arc::new(MemoryDataKeyStore::default());
    assert_eq!(run_data_key_store(&store).await.failures(), None);
}

/// A store with the bugs such stores have: the last first key wins, versions nobody compares, a wrapping
/// replaced unseen, shredding forgotten, a list without a cursor.
#[derive(Debug, Default)]
struct SloppyStore(MemoryDataKeyStore);

#[async_trait]
impl DataKeyStore for SloppyStore {
    async fn newest(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Option<StoredDataKey>> {
        self.0.newest(scope, tenant).await
    }
    async fn find(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        version: u32,
    ) -> Result<Option<StoredDataKey>> {
        self.0.find(scope, tenant, version).await
    }
    async fn all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<StoredDataKey>> {
        self.0.all(scope, tenant).await
    }
    async fn first(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        match self.0.newest(scope, &key.tenant).await? {
            None => self.0.first(scope, key).await,
            Some(newest) => self.rotate(scope, NewDataKey { version: newest.version + 1, ..key }).await,
        }
    }
    async fn rotate(&self, scope: &PlatformScope, mut key: NewDataKey) -> Result<StoredDataKey> {
        let newest = self.0.newest(scope, &key.tenant).await?;
        key.version = newest.map_or(1, |newest| newest.version + 1);
        self.0.rotate(scope, key).await
    }
    async fn rewrap(&self, scope: &PlatformScope, tenant: &TenantId, keys: &[Rewrap]) -> Result<()> {
        for key in keys {
            self.0.rewrap(scope, tenant, std::slice::from_ref(key)).await?;
        }
        Ok(())
    }
    async fn shred(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Shredded> {
        let keys = self.0.all(scope, tenant).await?;
        let (at, wrapping_keys) =
            (keys.first().map_or(mcp_core::clock::Timestamp::from_micros(0), |k| k.created_at), vec![]);
        Ok(Shredded { tenant: tenant.clone(), at, keys: 3, wrapping_keys })
    }
    async fn tenants(
        &self,
        scope: &PlatformScope,
        _: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        self.0.tenants(scope, None, limit).await
    }
    async fn wrapping_keys(&self, scope: &PlatformScope) -> Result<Vec<(String, u64)>> {
        self.0.wrapping_keys(scope).await
    }
    async fn record(&self, _: &Scope, _: AuditRecord) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sloppy_store_is_found_out() {
    let store: Arc<dyn DataKeyStore> = Arc::new(SloppyStore::default());
    let report = run_data_key_store(&store).await;
    for promise in [
        "pages_are_complete_and_in_order",
        "one_first_key",
        "one_next_key",
        "no_wrapping_is_lost",
        "shredding_is_final",
        "nothing_slips_past_a_shredding",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken: {:?}", report.failures());
    }
}
