//! The suites on the memory backends, and proof that they bite.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    ErrorKind, PlatformScope, Result, Scope,
    clock::Timestamp,
    limit::{Decision, Limit, RateLimiter},
    scope::TenantId,
};
use mcp_tenancy::{
    certificate::{CertificateIdentity, CertificateStore, CertificateSubject, MemoryCertificateStore},
    conformance::{
        self, CERTIFICATE_STORE, Check, KEY_STORE, OPERATOR_KEY_STORE, RATE_LIMITER, REFRESH_STORE,
        SIGNING_KEY_STORE, TENANT_STORE,
    },
    key::{ApiKey, KeyDigest, KeyId, KeyStore, MemoryKeyStore, StoredKey},
    limit::GcraLimiter,
    operator::{MemoryOperatorKeyStore, OperatorKey, OperatorKeyStore, StoredOperatorKey},
    refresh::{FamilyId, MemoryRefreshStore, RefreshStore, Rotated, StoredFamily},
    tenant::{
        ErasureReceipt, ErasureStep, MemoryTenantStore, NewTenant, Page, Tenant, TenantFilter, TenantProfile,
        TenantStatus, TenantStore,
    },
    token::{Grant, MemorySigningKeyStore, SigningKey, SigningKeyStore},
};

async fn kept<T: ?Sized>(suite: &[Check<T>], fresh: impl AsyncFn() -> Arc<T>) {
    let report = conformance::run(suite, fresh).await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
}

#[tokio::test]
async fn memory_tenant_store() {
    kept(TENANT_STORE, async || Arc::new(MemoryTenantStore::default()) as Arc<dyn TenantStore>).await;
}

#[tokio::test]
async fn memory_key_store() {
    kept(KEY_STORE, async || Arc::new(MemoryKeyStore::default()) as Arc<dyn KeyStore>).await;
}

#[tokio::test]
async fn memory_operator_key_store() {
    kept(OPERATOR_KEY_STORE, async || {
        Arc::new(MemoryOperatorKeyStore::default()) as Arc<dyn OperatorKeyStore>
    })
    .await;
}

#[tokio::test]
async fn memory_signing_key_store() {
    kept(SIGNING_KEY_STORE, async || Arc::new(MemorySigningKeyStore::default()) as Arc<dyn SigningKeyStore>)
        .await;
}

#[tokio::test]
async fn gcra_limiter() {
    kept(RATE_LIMITER, async || Arc::new(GcraLimiter::default()) as Arc<dyn RateLimiter>).await;
}

#[tokio::test]
async fn memory_certificate_store() {
    kept(CERTIFICATE_STORE, async || {
        Arc::new(MemoryCertificateStore::default()) as Arc<dyn CertificateStore>
    })
    .await;
}

/// A certificate store that lets a subject have several owners, and does not look whose it is.
#[derive(Debug, Default)]
struct SloppyCertificates(std::sync::Mutex<Vec<CertificateIdentity>>);

#[async_trait]
impl CertificateStore for SloppyCertificates {
    async fn insert(&self, _: &PlatformScope, identity: CertificateIdentity) -> Result<()> {
        self.0.lock().unwrap().push(identity);
        Ok(())
    }
    async fn find(&self, _: &PlatformScope, _: &[CertificateSubject]) -> Result<Vec<CertificateIdentity>> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn list(
        &self,
        _: &PlatformScope,
        _: &TenantId,
        _: Option<&str>,
        _: u32,
    ) -> Result<Page<CertificateIdentity>> {
        Ok(Page { items: self.0.lock().unwrap().clone(), next_cursor: None })
    }
    async fn remove(&self, _: &PlatformScope, _: &TenantId, id: &KeyId) -> Result<CertificateIdentity> {
        let found = self.0.lock().unwrap().iter().find(|held| held.id == *id).cloned();
        found.ok_or_else(|| mcp_core::Error::not_found("test", "no such certificate"))
    }
}

#[tokio::test]
async fn a_sloppy_certificate_store_is_found_out() {
    let report = conformance::run(CERTIFICATE_STORE, async || {
        Arc::new(SloppyCertificates::default()) as Arc<dyn CertificateStore>
    });
    let report = report.await;
    for (promise, _) in CERTIFICATE_STORE {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

#[tokio::test]
async fn memory_refresh_store() {
    kept(REFRESH_STORE, async || Arc::new(MemoryRefreshStore::default()) as Arc<dyn RefreshStore>).await;
}

/// A store of refresh tokens where the last redemption wins, and ends are forgotten.
#[derive(Debug, Default)]
struct SloppyRefresh(std::sync::Mutex<Vec<StoredFamily>>);

#[async_trait]
impl RefreshStore for SloppyRefresh {
    async fn insert(&self, _: &PlatformScope, family: StoredFamily) -> Result<()> {
        self.0.lock().unwrap().push(family);
        Ok(())
    }
    async fn find(&self, _: &PlatformScope, id: &FamilyId) -> Result<Option<StoredFamily>> {
        Ok(self.0.lock().unwrap().iter().find(|family| family.id == *id).cloned())
    }
    async fn rotate(&self, _: &PlatformScope, id: &FamilyId, rotated: Rotated) -> Result<bool> {
        let mut families = self.0.lock().unwrap();
        let Some(family) = families.iter_mut().find(|family| family.id == *id) else { return Ok(false) };
        family.digest = rotated.to;
        Ok(true)
    }
    async fn revoke(&self, _: &PlatformScope, id: &FamilyId, at: Timestamp, _: &'static str) -> Result<()> {
        let mut families = self.0.lock().unwrap();
        families.iter_mut().filter(|family| family.id == *id).for_each(|family| family.revoked_at = Some(at));
        Ok(())
    }
}

#[tokio::test]
async fn a_sloppy_refresh_store_is_found_out() {
    let report =
        conformance::run(REFRESH_STORE, async || Arc::new(SloppyRefresh::default()) as Arc<dyn RefreshStore>);
    let report = report.await;
    for (promise, _) in REFRESH_STORE {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// A tenant store with the bugs such stores have: versions nobody compares, a list that forgets its cursor,
/// a status change that always counts, changes in the order of ids, one idempotency key for all; parents and filters
/// nobody looks at, a grace that begins anew or does not hold, tombstones and steps that are forgotten.
#[derive(Debug, Default)]
struct SloppyTenants(MemoryTenantStore);

#[async_trait]
impl TenantStore for SloppyTenants {
    async fn create(&self, scope: &PlatformScope, mut new: NewTenant) -> Result<Tenant> {
        new.idempotency_key = None;
        new.parent = None;
        self.0.create(scope, new).await
    }
    async fn get(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<Tenant>> {
        Ok(self.0.get(scope, id).await?.filter(|tenant| tenant.status != TenantStatus::Erased))
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        _: &TenantFilter,
        _: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        self.0.list(scope, &TenantFilter::default(), None, limit).await
    }
    async fn delete(&self, scope: &PlatformScope, id: &TenantId, erase_after: Timestamp) -> Result<Tenant> {
        let _ = self.0.restore(scope, id).await;
        self.0.delete(scope, id, erase_after).await
    }
    async fn restore(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.0.restore(scope, id).await
    }
    async fn due(&self, scope: &PlatformScope, after: Option<&TenantId>, limit: u32) -> Result<Vec<Tenant>> {
        let deleting = TenantFilter { status: Some(TenantStatus::Deleting), parent: None };
        Ok(self.0.list(scope, &deleting, after.map(TenantId::as_str), limit).await?.items)
    }
    async fn begin_erasure(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.0.begin_erasure(scope, id).await
    }
    async fn record_step(&self, _: &PlatformScope, _: &TenantId, _: &ErasureStep) -> Result<()> {
        Ok(())
    }
    async fn steps(&self, scope: &PlatformScope, id: &TenantId) -> Result<Vec<ErasureStep>> {
        self.0.steps(scope, id).await
    }
    async fn erased(&self, scope: &PlatformScope, receipt: &ErasureReceipt) -> Result<Tenant> {
        self.0.erased(scope, receipt).await
    }
    async fn receipt(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<ErasureReceipt>> {
        self.0.receipt(scope, id).await
    }
    async fn update(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        _: i64,
    ) -> Result<Tenant> {
        let current = self.0.get(scope, id).await?.map_or(0, |tenant| tenant.version);
        self.0.update(scope, id, profile, current).await
    }
    async fn suspend(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        let tenant = self.0.suspend(scope, id).await?;
        self.0.update(scope, id, tenant.profile, tenant.version).await
    }
    async fn resume(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.0.resume(scope, id).await
    }
    async fn changes_since(&self, scope: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<Tenant>> {
        let mut changes = self.0.changes_since(scope, revision, limit).await?;
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(changes)
    }
}

#[tokio::test]
async fn a_sloppy_tenant_store_is_found_out() {
    let report =
        conformance::run(TENANT_STORE, async || Arc::new(SloppyTenants::default()) as Arc<dyn TenantStore>);
    let report = report.await;
    for promise in [
        "trying_again_is_safe",
        "no_lost_update",
        "suspending_is_idempotent",
        "lists_are_complete_and_in_order",
        "no_skipped_change",
        "a_deleted_tenant_has_a_way_back",
        "nothing_is_erased_before_its_time",
        "an_erased_tenant_is_a_tombstone",
        "what_an_erasure_did_is_kept",
        "no_project_without_its_organisation",
        "an_organisation_goes_after_its_projects",
        "lists_are_filtered",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// A key store that does not look whose key it is, and lets a revoked key be written over.
#[derive(Debug, Default)]
struct SloppyKeys(MemoryKeyStore, std::sync::Mutex<Vec<StoredKey>>);

#[async_trait]
impl KeyStore for SloppyKeys {
    async fn insert(&self, scope: &PlatformScope, key: StoredKey, _: u32) -> Result<()> {
        self.1.lock().unwrap().push(key.clone());
        match self.0.insert(scope, key, u32::MAX).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredKey>> {
        self.0.find(scope, id).await
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        _: &TenantId,
        _: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApiKey>> {
        self.0.list(scope, &TenantId::parse("acme")?, None, limit).await
    }
    async fn rotate(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
        digest: KeyDigest,
        _: Option<Timestamp>,
    ) -> Result<ApiKey> {
        self.0.rotate(scope, tenant, id, digest, Some(Timestamp::from_micros(i64::MAX))).await
    }
    async fn used(&self, scope: &PlatformScope, used: &[(KeyId, Timestamp)]) -> Result<()> {
        let later: Vec<_> =
            used.iter().map(|(id, at)| (id.clone(), at.after(std::time::Duration::from_secs(1)))).collect();
        self.0.used(scope, &later).await
    }
    async fn revoke(&self, scope: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        let owner = self.0.find(scope, id).await?.map_or(tenant.clone(), |stored| stored.key.tenant);
        self.0.revoke(scope, &owner, id).await
    }
}

#[tokio::test]
async fn a_sloppy_key_store_is_found_out() {
    let report =
        conformance::run(KEY_STORE, async || Arc::new(SloppyKeys::default()) as Arc<dyn KeyStore>).await;
    for promise in [
        "one_key_an_id",
        "keys_are_bounded",
        "rotating_leaves_two_secrets_at_most",
        "use_moves_forward",
        "revoking_is_final_and_idempotent",
        "tenants_are_kept_apart",
        "lists_are_complete_and_in_order",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// An operator key store that lets keys be written over, and lists the first page for every cursor.
#[derive(Debug, Default)]
struct SloppyOperatorKeys(MemoryOperatorKeyStore);

#[async_trait]
impl OperatorKeyStore for SloppyOperatorKeys {
    async fn insert(&self, scope: &PlatformScope, key: StoredOperatorKey) -> Result<()> {
        match self.0.insert(scope, key).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredOperatorKey>> {
        self.0.find(scope, id).await
    }
    async fn list(&self, scope: &PlatformScope, _: Option<&str>, limit: u32) -> Result<Page<OperatorKey>> {
        self.0.list(scope, None, limit).await
    }
    async fn revoke(&self, scope: &PlatformScope, id: &KeyId) -> Result<OperatorKey> {
        self.0.revoke(scope, id).await
    }
}

#[tokio::test]
async fn a_sloppy_operator_key_store_is_found_out() {
    let report = conformance::run(OPERATOR_KEY_STORE, async || {
        Arc::new(SloppyOperatorKeys::default()) as Arc<dyn OperatorKeyStore>
    });
    let report = report.await;
    for promise in ["one_key_an_id", "revoking_is_final_and_idempotent", "lists_are_complete_and_in_order"] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// A signing-key store where the last first key wins, whosever it is.
#[derive(Debug, Default)]
struct SloppySigningKeys(std::sync::Mutex<Vec<SigningKey>>);

#[async_trait]
impl SigningKeyStore for SloppySigningKeys {
    async fn keys(&self, _: &PlatformScope, _: &TenantId) -> Result<Vec<SigningKey>> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn first(&self, _: &PlatformScope, key: SigningKey) -> Result<SigningKey> {
        self.0.lock().unwrap().push(key.clone());
        Ok(key)
    }
    async fn rotate(&self, _: &PlatformScope, key: SigningKey, _: std::time::Duration) -> Result<SigningKey> {
        self.0.lock().unwrap().push(key.clone());
        Ok(key)
    }
    async fn remove(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        _: Timestamp,
    ) -> Result<SigningKey> {
        let found = self.keys(scope, tenant).await?.into_iter().find(|key| key.kid == kid);
        self.0.lock().unwrap().retain(|key| key.kid != kid);
        found.ok_or_else(|| mcp_core::Error::not_found("test", "no such key"))
    }
    async fn record(&self, _: &PlatformScope, _: &Grant) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sloppy_signing_key_store_is_found_out() {
    let report = conformance::run(SIGNING_KEY_STORE, async || {
        Arc::new(SloppySigningKeys::default()) as Arc<dyn SigningKeyStore>
    });
    let report = report.await;
    for promise in ["one_first_key", "one_next_key", "the_key_that_signs_stays", "tenants_are_kept_apart"] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// A limiter that asks one limit after the other, and forgets whose calls they are.
#[derive(Debug, Default)]
struct SloppyLimiter(GcraLimiter);

#[async_trait]
impl RateLimiter for SloppyLimiter {
    async fn check(
        &self,
        scope: &Scope,
        limits: &[Limit],
        cost: std::num::NonZeroU32,
    ) -> Result<Option<Decision>> {
        let everyone = Scope::new(TenantId::parse("everyone")?, Arc::new(scope.principal().clone()));
        let mut last = None;
        for limit in limits {
            last = self.0.check(&everyone, std::slice::from_ref(limit), cost).await?;
            if last.is_some_and(|decision| !decision.allowed) {
                break;
            }
        }
        Ok(last)
    }
    async fn check_platform(
        &self,
        _: &PlatformScope,
        _: &[Limit],
        _: std::num::NonZeroU32,
    ) -> Result<Option<Decision>> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_sloppy_limiter_is_found_out() {
    let report =
        conformance::run(RATE_LIMITER, async || Arc::new(SloppyLimiter::default()) as Arc<dyn RateLimiter>);
    let report = report.await;
    assert!(report.failed("all_or_nothing") && report.failed("tenants_are_kept_apart"), "{report:?}");
}
