//! Erasing tenants: nothing of theirs is left in any table or file, nothing of another's is touched, and a process
//! that dies at any moment is gone on for.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{sync::Arc, time::Duration};

use mcp_core::{
    ErrorKind, PlatformScope, Scope,
    clock::SystemClock,
    key::{Column, Sealed},
    lease::MemoryLeases,
    limit::Meter,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    Tenancy,
    erasure::{Eraser, ErasureConfig, ErasureRound},
    key::NewApiKey,
    quota::{QuotaLimit, QuotaSubject},
    refresh::TokenRequest,
    tenant::{NewTenant, Tenant, TenantStatus},
    token::TokenConfig,
};

pub(crate) const NOTE: Column = Column::new("note", "text");

pub(crate) fn admin() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

pub(crate) fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

pub(crate) fn tokens() -> TokenConfig {
    TokenConfig::new("https://platform.example", "https://platform.example/mcp")
}

pub(crate) fn scope(tenant: &TenantId) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("user-1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["tools:call"]).unwrap(),
    };
    Scope::new(tenant.clone(), Arc::new(principal))
}

/// A part of the platform in a test that counts how often it was asked, and refuses the first time.
#[derive(Debug, Default)]
pub(crate) struct Fleet(std::sync::atomic::AtomicU32);

#[async_trait::async_trait]
impl mcp_core::erase::TenantEraser for Fleet {
    fn name(&self) -> &'static str {
        "fleet"
    }

    async fn erase(&self, _: &PlatformScope, _: &TenantId) -> mcp_core::Result<mcp_core::erase::Erased> {
        match self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Err(mcp_core::Error::unavailable("test", "a server is still stopping")),
            _ => Ok(mcp_core::erase::Erased::default()),
        }
    }
}

/// A replica that comes after one that died: the dead one's lease has run out.
pub(crate) fn eraser(tenancy: &Tenancy) -> Eraser {
    let leases = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
    Eraser::new(tenancy, leases, Vec::new(), ErasureConfig::default()).unwrap()
}

/// A tenant with something in every store of the tenancy; returns what it sealed.
pub(crate) async fn fill(tenancy: &Tenancy, new: NewTenant) -> (Tenant, Sealed) {
    let tenant = tenancy.create_tenant(&admin(), new).await.unwrap();
    let of = &tenant.id;
    let key = NewApiKey::service(of.clone(), "ci", "robot", Permissions::parse(["tools:call"]).unwrap());
    let key = tenancy.create_key(&admin(), key.unwrap()).await.unwrap();
    let request = http::Request::builder().header("authorization", format!("Bearer {}", key.text.expose()));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let identity = tenancy.authenticators().authenticate(&head).await.unwrap();
    tenancy.grant_for_key(&admin(), &identity, TokenRequest::default()).await.unwrap();
    let principal = scope(of).principal().clone();
    tenancy.issue_token(&admin(), of, &principal, Duration::from_secs(60)).await.unwrap();
    let limit = QuotaLimit {
        subject: QuotaSubject::Tenant,
        meter: Meter::parse("chat.tokens").unwrap(),
        period: mcp_core::limit::Period::Day,
        amount: 1000,
    };
    tenancy.set_quota(&admin(), of, limit).await.unwrap();
    tenancy.quota().reserve(&scope(of), &Meter::parse("chat.tokens").unwrap(), 5).await.unwrap();
    tenancy.end_tokens(&admin(), of).await.unwrap();
    let sealed = tenancy.data_keys().seal(&scope(of), NOTE.row("n1"), b"secret").await.unwrap();
    (tenant, sealed)
}

/// What everybody sees of a tenant that was erased.
pub(crate) async fn is_gone(tenancy: &Tenancy, tenant: &Tenant, sealed: &Sealed) {
    let tombstone = tenancy.tenant(&admin(), &tenant.id).await.unwrap();
    assert_eq!((tombstone.status, tombstone.profile.name.as_str()), (TenantStatus::Erased, ""));
    assert!(!tenancy.directory().get(&tenant.id).unwrap().unwrap().is_open());
    let opened = tenancy.data_keys().open(&scope(&tenant.id), NOTE.row("n1"), sealed).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound, "what it sealed opens");
    let again = tenancy.create_tenant(&admin(), NewTenant::new(tenant.id.clone(), "Again")).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let key = NewApiKey::service(tenant.id.clone(), "ci", "robot", Permissions::default()).unwrap();
    assert_eq!(tenancy.create_key(&admin(), key).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(tenancy.keys(&admin(), &tenant.id, None, 10).await.unwrap().items, []);

    let receipt = tenancy.erasure_receipt(&admin(), &tenant.id).await.unwrap();
    assert!(receipt.requested_at <= receipt.started_at && receipt.started_at <= receipt.finished_at);
    let keys = receipt.steps.iter().find(|step| step.name == "data-keys").unwrap();
    assert_eq!(keys.erased.counts["data_key"], 1, "{receipt:?}");
    assert_eq!(keys.erased.wrapping_keys.len(), 1, "{receipt:?}");
}

/// Rounds until the tenants are erased.
pub(crate) async fn erase(eraser: &Eraser, tenants: &[&TenantId]) -> ErasureRound {
    let round = eraser.round().await.unwrap();
    assert!(round.leads);
    for tenant in tenants {
        assert!(round.erased.contains(tenant), "{tenant} was not erased: {round:?}");
    }
    round
}
