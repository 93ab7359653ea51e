//! The directory follows, refuses when it is lost, and recovers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;

use mcp_core::clock::Timestamp;

use super::*;
use crate::tenant::{
    ErasureReceipt, ErasureStep, MemoryTenantStore, Name, NewTenant, Page, TenantFilter, TenantProfile,
};

/// A memory store that can be taken away, and counts what it is asked about single tenants.
#[derive(Debug, Default)]
struct Flaky {
    inner: MemoryTenantStore,
    away: AtomicBool,
    hangs: AtomicBool,
    gets: AtomicUsize,
}

impl Flaky {
    async fn here(&self) -> Result<()> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.away.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("test", "away")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl TenantStore for Flaky {
    async fn create(&self, scope: &PlatformScope, new: NewTenant) -> Result<Tenant> {
        self.inner.create(scope, new).await
    }
    async fn get(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<Tenant>> {
        self.here().await?;
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(scope, id).await
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        filter: &TenantFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        self.inner.list(scope, filter, cursor, limit).await
    }
    async fn update(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        expected_version: i64,
    ) -> Result<Tenant> {
        self.inner.update(scope, id, profile, expected_version).await
    }
    async fn suspend(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.inner.suspend(scope, id).await
    }
    async fn resume(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.inner.resume(scope, id).await
    }
    async fn delete(&self, scope: &PlatformScope, id: &TenantId, erase_after: Timestamp) -> Result<Tenant> {
        self.inner.delete(scope, id, erase_after).await
    }
    async fn restore(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.inner.restore(scope, id).await
    }
    async fn due(&self, scope: &PlatformScope, after: Option<&TenantId>, limit: u32) -> Result<Vec<Tenant>> {
        self.inner.due(scope, after, limit).await
    }
    async fn begin_erasure(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.inner.begin_erasure(scope, id).await
    }
    async fn record_step(&self, scope: &PlatformScope, id: &TenantId, step: &ErasureStep) -> Result<()> {
        self.inner.record_step(scope, id, step).await
    }
    async fn steps(&self, scope: &PlatformScope, id: &TenantId) -> Result<Vec<ErasureStep>> {
        self.inner.steps(scope, id).await
    }
    async fn erased(&self, scope: &PlatformScope, receipt: &ErasureReceipt) -> Result<Tenant> {
        self.inner.erased(scope, receipt).await
    }
    async fn receipt(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<ErasureReceipt>> {
        self.inner.receipt(scope, id).await
    }
    async fn changes_since(&self, scope: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<Tenant>> {
        self.here().await?;
        self.inner.changes_since(scope, revision, limit).await
    }
}

struct Running {
    store: Arc<Flaky>,
    directory: Arc<TenantDirectory>,
    scope: PlatformScope,
    acme: TenantId,
}

async fn running() -> Running {
    let store = Arc::new(Flaky::default());
    let scope = PlatformScope::new(PrincipalId::parse("test").unwrap(), "test");
    let acme = TenantId::parse("acme").unwrap();
    store.create(&scope, NewTenant::new(acme.clone(), "Acme")).await.unwrap();
    let directory = TenantDirectory::open(store.clone(), DirectoryConfig::default()).await.unwrap();
    let follower = directory.clone();
    tokio::spawn(async move { follower.run(CancellationToken::new()).await });
    Running { store, directory, scope, acme }
}

#[tokio::test(start_paused = true)]
async fn a_suspension_made_elsewhere_closes_within_a_second() {
    let Running { store, directory, scope, acme } = running().await;
    let known = directory.get(&acme).unwrap().unwrap();
    assert!(known.tenant().is_active());
    let mut suspended = directory.suspended();
    assert!(suspended.borrow_and_update().is_empty());
    let start = Instant::now();
    store.suspend(&scope, &acme).await.unwrap();
    known.closed().cancelled().await;
    suspended.changed().await.unwrap();
    assert_eq!(*suspended.borrow_and_update(), [acme.clone()].into());
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(!directory.get(&acme).unwrap().unwrap().tenant().is_active());

    store.resume(&scope, &acme).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let resumed = directory.get(&acme).unwrap().unwrap();
    assert!(resumed.tenant().is_active() && !resumed.closed().is_cancelled());
    assert!(known.closed().is_cancelled(), "what was closed stays closed");
    assert!(suspended.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_suspension_made_here_closes_at_once() {
    let Running { store, directory, scope, acme } = running().await;
    let known = directory.get(&acme).unwrap().unwrap();
    let older = known.tenant().clone();
    directory.note(&store.suspend(&scope, &acme).await.unwrap());
    assert!(known.closed().is_cancelled());
    directory.note(&older);
    assert!(!directory.get(&acme).unwrap().unwrap().tenant().is_active(), "an older change won");
}

#[tokio::test(start_paused = true)]
async fn the_last_state_holds_for_the_stated_time_and_then_everything_is_refused() {
    let Running { store, directory, acme, .. } = running().await;
    let known = directory.get(&acme).unwrap().unwrap();
    store.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert!(directory.get(&acme).unwrap().is_some() && directory.is_ready());
    let lost = tokio::time::timeout(Duration::from_secs(10), known.closed().cancelled()).await;
    assert!(lost.is_ok(), "open connections were not told");
    let error = directory.get(&acme).unwrap_err();
    assert_eq!(error.kind(), mcp_core::ErrorKind::Unavailable);
    assert!(!directory.is_ready());

    store.away.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let known = directory.get(&acme).unwrap().unwrap();
    assert!(!known.closed().is_cancelled() && directory.is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tenant_is_looked_up_once() {
    let Running { store, directory, scope, .. } = running().await;
    let beta = TenantId::parse("beta").unwrap();
    for _ in 0..10 {
        assert!(directory.resolve(&beta).await.unwrap().is_none());
    }
    assert_eq!(store.gets.load(Ordering::SeqCst), 1);
    store.create(&scope, NewTenant::new(beta.clone(), "Beta")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(directory.resolve(&beta).await.unwrap().is_some(), "the poll did not find it");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_created_a_moment_ago_elsewhere_is_found() {
    let store = Arc::new(Flaky::default());
    let scope = PlatformScope::new(PrincipalId::parse("test").unwrap(), "test");
    let directory = TenantDirectory::open(store.clone(), DirectoryConfig::default()).await.unwrap();
    let acme = TenantId::parse("acme").unwrap();
    store.create(&scope, NewTenant::new(acme.clone(), "Acme")).await.unwrap();
    assert!(directory.get(&acme).unwrap().is_none());
    assert!(directory.resolve(&acme).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_a_store_that_is_away() {
    let Running { store, directory, acme, .. } = running().await;
    let known = directory.get(&acme).unwrap().unwrap();
    store.hangs.store(true, Ordering::SeqCst);
    let beta = TenantId::parse("beta").unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(3), directory.resolve(&beta)).await;
    assert_eq!(asked.unwrap().unwrap_err().kind(), mcp_core::ErrorKind::Unavailable);
    let lost = tokio::time::timeout(Duration::from_secs(40), known.closed().cancelled()).await;
    assert!(lost.is_ok(), "open connections were not told");
    store.hangs.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!directory.get(&acme).unwrap().unwrap().closed().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_project_is_closed_while_its_organisation_is() {
    let Running { store, directory, scope, acme } = running().await;
    let mut project = NewTenant::new(TenantId::parse("acme-web").unwrap(), "Web");
    project.parent = Some(acme.clone());
    let project = store.create(&scope, project).await.unwrap();
    let known = directory.resolve(&project.id).await.unwrap().unwrap();
    assert!(known.is_open());

    directory.note(&store.suspend(&scope, &acme).await.unwrap());
    assert!(known.closed().is_cancelled(), "the project's streams went on");
    let closed = directory.get(&project.id).unwrap().unwrap();
    assert_eq!(closed.refusal(), Some(&Refusal::Organisation));
    assert_eq!(*directory.suspended().borrow(), [acme.clone(), project.id.clone()].into());

    // A new replica reads the project before its organisation, which was changed later.
    let other = TenantDirectory::open(store.clone(), DirectoryConfig::default()).await.unwrap();
    assert!(!other.get(&project.id).unwrap().unwrap().is_open());

    directory.note(&store.resume(&scope, &acme).await.unwrap());
    let resumed = directory.get(&project.id).unwrap().unwrap();
    assert!(resumed.is_open() && !resumed.closed().is_cancelled());
    assert!(directory.suspended().borrow().is_empty());

    directory.note(&store.suspend(&scope, &project.id).await.unwrap());
    directory.note(&store.suspend(&scope, &acme).await.unwrap());
    directory.note(&store.resume(&scope, &acme).await.unwrap());
    let own = directory.get(&project.id).unwrap().unwrap();
    assert_eq!(
        own.refusal(),
        Some(&Refusal::Suspended),
        "its own suspension was undone by its organisation's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_project_created_a_moment_ago_elsewhere_is_found_with_its_organisation() {
    let store = Arc::new(Flaky::default());
    let scope = PlatformScope::new(PrincipalId::parse("test").unwrap(), "test");
    let directory = TenantDirectory::open(store.clone(), DirectoryConfig::default()).await.unwrap();
    store.create(&scope, NewTenant::new(TenantId::parse("org").unwrap(), "Org")).await.unwrap();
    let mut project = NewTenant::new(TenantId::parse("project").unwrap(), "Project");
    project.parent = Some(TenantId::parse("org").unwrap());
    store.create(&scope, project.clone()).await.unwrap();
    assert!(directory.resolve(&project.id).await.unwrap().unwrap().is_open());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_of_another_region_is_closed() {
    let store = Arc::new(Flaky::default());
    let scope = PlatformScope::new(PrincipalId::parse("test").unwrap(), "test");
    let mut far = NewTenant::new(TenantId::parse("far").unwrap(), "Far");
    far.profile.region = Name::parse("us-east-1").unwrap();
    store.create(&scope, far.clone()).await.unwrap();
    let regions = Some(Regions::default());
    let directory = TenantDirectory::open_for(store, DirectoryConfig::default(), regions).await.unwrap();
    let known = directory.get(&far.id).unwrap().unwrap();
    let refusal = known.refusal().unwrap();
    assert_eq!(*refusal, Refusal::Elsewhere { region: far.profile.region });
    assert!(refusal.error("test").message().contains("`us-east-1`"));
}
