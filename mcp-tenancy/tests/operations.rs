//! The operations of an administrator, as the command line and the REST server call them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use mcp_core::{
    ErrorKind, PlatformScope,
    scope::{PrincipalId, TenantId},
};
use mcp_tenancy::{
    Loaded, Tenancy, TenancyDeps,
    tenant::{Name, TenantProfile},
    token::TokenConfig,
};

const ROUTING: &str = include_str!("data/routing.yaml");

fn admin() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

async fn memory() -> (Tenancy, TenancyDeps) {
    let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
    let deps = TenancyDeps::memory(tokens).unwrap();
    (Tenancy::open(deps.clone()).await.unwrap(), deps)
}

fn loaded(created: usize, updated: usize, unchanged: usize) -> Loaded {
    Loaded { created, updated, unchanged, deleted: 0 }
}

#[tokio::test]
async fn loading_creates_then_changes_nothing_then_updates_what_differs() {
    let (tenancy, _) = memory().await;
    assert_eq!(tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap(), loaded(2, 0, 0));
    assert_eq!(tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap(), loaded(0, 0, 2));
    let changed = ROUTING.replace("requests_per_minute: 500", "requests_per_minute: 700");
    assert_eq!(tenancy.load_tenants(&admin(), "routing.yaml", &changed).await.unwrap(), loaded(0, 1, 1));
    let id = TenantId::parse("tenant-456").unwrap();
    let tenant = tenancy.tenant(&admin(), &id).await.unwrap();
    assert_eq!((tenant.profile.limits.requests_per_minute.get(), tenant.version), (700, 2));
    let known = tenancy.directory().get(&id).unwrap().unwrap();
    assert_eq!(known.tenant(), &tenant, "the directory does not know what was just loaded");
}

#[tokio::test]
async fn loading_does_not_resume_a_suspended_tenant() {
    let (tenancy, _) = memory().await;
    tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap();
    let id = TenantId::parse("tenant-123").unwrap();
    tenancy.suspend_tenant(&admin(), &id).await.unwrap();
    tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap();
    assert!(!tenancy.tenant(&admin(), &id).await.unwrap().is_active());
}

#[tokio::test]
async fn a_file_that_is_wrong_anywhere_loads_nothing() {
    let (tenancy, _) = memory().await;
    let wrong = ROUTING.replace("concurrent_contexts: 50", "concurrent_contexts: none");
    let error = tenancy.load_tenants(&admin(), "routing.yaml", &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(tenancy.tenants(&admin(), None, 10).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_schema_is_for_ever() {
    let (tenancy, _) = memory().await;
    tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap();
    let moved = ROUTING.replace("schema: \"tenant_123\"", "schema: \"elsewhere\"");
    let error = tenancy.load_tenants(&admin(), "routing.yaml", &moved).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("tenant_123"), "{error}");
}

#[tokio::test]
async fn replicas_that_load_the_same_file_at_once_agree() {
    let (first, deps) = memory().await;
    let second = Tenancy::open(deps).await.unwrap();
    let scope = admin();
    let loads = tokio::join!(
        first.load_tenants(&scope, "routing.yaml", ROUTING),
        second.load_tenants(&scope, "routing.yaml", ROUTING)
    );
    let (one, two) = (loads.0.unwrap(), loads.1.unwrap());
    assert_eq!(one.created + two.created, 2, "{one:?} {two:?}");
    assert_eq!(first.tenants(&scope, None, 10).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn an_update_names_the_version_it_changes() {
    let (tenancy, _) = memory().await;
    tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap();
    let id = TenantId::parse("tenant-123").unwrap();
    let mut profile = TenantProfile::named("Acme Inc");
    profile.features.insert(Name::parse("ml_inference").unwrap());
    let updated = tenancy.update_tenant(&admin(), &id, profile.clone(), 1).await.unwrap();
    assert!(updated.version == 2 && updated.has_feature("ml_inference") && !updated.has_feature("ml"));
    let stale = tenancy.update_tenant(&admin(), &id, profile, 1).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_tenant_on_the_wire_has_its_profile_beside_its_id() {
    let (tenancy, _) = memory().await;
    tenancy.load_tenants(&admin(), "routing.yaml", ROUTING).await.unwrap();
    let tenant = tenancy.tenant(&admin(), &TenantId::parse("tenant-123").unwrap()).await.unwrap();
    let json = serde_json::to_value(&tenant).unwrap();
    assert_eq!(json["id"], "tenant-123");
    assert_eq!(json["limits"]["requests_per_minute"], 1000);
    assert_eq!(json["features"], serde_json::json!(["advanced_analytics", "ml_inference"]));
    assert_eq!(json["status"], "active");
    assert_eq!(serde_json::from_value::<mcp_tenancy::tenant::Tenant>(json).unwrap(), tenant);
}
