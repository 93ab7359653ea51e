//! The suites of roles, policies and engines on what is in memory, and proof that they bite.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    conformance::scope_of,
    scope::{PrincipalId, TenantId},
};
use mcp_tenancy::{
    conformance::{
        self, Check, POLICY, POLICY_STORE, REFERENCE_CEDAR, REFERENCE_REGO, REFERENCE_REGO_V0, ROLE_STORE,
    },
    policy::{
        AllOf, Bounded, Compiler, Decision, Language, MemoryPolicyStore, NewPolicy, Policy, PolicyHead,
        PolicyStore, PolicyText, PolicyVersion, TenantPolicies,
    },
    role::{Granted, MemoryRoleStore, NewRole, Role, RoleName, RoleStore},
    tenant::Page,
};

async fn kept<T: ?Sized>(suite: &[Check<T>], fresh: impl AsyncFn() -> Arc<T>) {
    let report = conformance::run(suite, fresh).await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
}

fn compiled(language: Language, text: &str) -> Arc<dyn Policy> {
    let compiler = Compiler::new().unwrap().with_rego();
    compiler.compile(&PolicyText::new(language, text)).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn memory_role_store() {
    kept(ROLE_STORE, async || Arc::new(MemoryRoleStore::default()) as Arc<dyn RoleStore>).await;
}

#[tokio::test]
async fn memory_policy_store() {
    kept(POLICY_STORE, async || Arc::new(MemoryPolicyStore::default()) as Arc<dyn PolicyStore>).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cedar_policy() {
    kept(POLICY, async || compiled(Language::Cedar, REFERENCE_CEDAR)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rego_policy() {
    kept(POLICY, async || compiled(Language::Rego, REFERENCE_REGO)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rego_v0_policy() {
    kept(POLICY, async || compiled(Language::RegoV0, REFERENCE_REGO_V0)).await;
}

/// What stands around engines keeps what they promise.
#[tokio::test(flavor = "multi_thread")]
async fn wrapped_policies() {
    kept(POLICY, async || {
        let above = "@id(\"all\") permit (principal, action, resource);";
        let both = vec![compiled(Language::Cedar, above), compiled(Language::Cedar, REFERENCE_CEDAR)];
        Arc::new(AllOf::new(both)) as Arc<dyn Policy>
    })
    .await;
    kept(POLICY, async || {
        let store = Arc::new(MemoryPolicyStore::default());
        for tenant in conformance::TENANTS {
            let scope = scope_of(tenant).unwrap();
            let new = NewPolicy::new(PolicyText::new(Language::Cedar, REFERENCE_CEDAR));
            let version = store.draft(&scope, new).await.unwrap().head.version;
            store.mark_validated(&scope, version).await.unwrap();
            store.activate(&scope, version, 0).await.unwrap();
        }
        Arc::new(TenantPolicies::new(store, Compiler::new().unwrap())) as Arc<dyn Policy>
    })
    .await;
}

/// A role store for one tenant, whoever asks, that looks at no version and lets roles be deleted under those
/// who inherit from them.
#[derive(Debug, Default)]
struct SloppyRoles(MemoryRoleStore);

fn everyone(scope: &Scope) -> Scope {
    Scope::new(TenantId::parse("everyone").unwrap(), Arc::new(scope.principal().clone()))
}

#[async_trait]
impl RoleStore for SloppyRoles {
    async fn put(&self, scope: &Scope, role: NewRole, _: i64) -> Result<Role> {
        let roles = self.0.roles(&everyone(scope)).await?;
        let stored = roles.iter().find(|stored| stored.definition.name == role.name);
        self.0.put(&everyone(scope), role.clone(), stored.map_or(0, |stored| stored.version)).await
    }
    async fn roles(&self, scope: &Scope) -> Result<Vec<Role>> {
        self.0.roles(&everyone(scope)).await
    }
    async fn delete(&self, scope: &Scope, name: &RoleName, _: i64) -> Result<()> {
        let empty = NewRole::new(name.clone(), mcp_core::scope::Permissions::default());
        self.put(scope, empty, 0).await.map(drop)
    }
    async fn assign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        self.0.assign(&everyone(scope), principal, role).await
    }
    async fn unassign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        self.0.unassign(&everyone(scope), principal, role).await
    }
    async fn held(&self, scope: &Scope, principal: &PrincipalId) -> Result<BTreeSet<RoleName>> {
        self.0.held(&everyone(scope), principal).await
    }
    async fn granted(&self, scope: &Scope, principal: &PrincipalId) -> Result<Granted> {
        self.0.granted(&everyone(scope), principal).await
    }
    async fn holders(
        &self,
        scope: &Scope,
        role: &RoleName,
        _: Option<&str>,
        limit: u32,
    ) -> Result<Page<PrincipalId>> {
        self.0.holders(&everyone(scope), role, None, limit).await
    }
}

#[tokio::test]
async fn a_sloppy_role_store_is_found_out() {
    let report =
        conformance::run(ROLE_STORE, async || Arc::new(SloppyRoles::default()) as Arc<dyn RoleStore>).await;
    for promise in
        ["tenants_are_kept_apart", "no_lost_update", "nothing_dangles", "holders_are_complete_and_in_order"]
    {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// A policy store whose activation asks nobody, and whose numbers are shared by all tenants.
#[derive(Debug, Default)]
struct SloppyPolicies(MemoryPolicyStore, AtomicI64);

#[async_trait]
impl PolicyStore for SloppyPolicies {
    async fn draft(&self, scope: &Scope, new: NewPolicy) -> Result<PolicyVersion> {
        self.0.draft(&everyone(scope), new).await
    }
    async fn mark_validated(&self, scope: &Scope, version: i64) -> Result<PolicyVersion> {
        self.0.mark_validated(&everyone(scope), version).await
    }
    async fn activate(&self, _: &Scope, version: i64, _: i64) -> Result<i64> {
        self.1.store(version, Ordering::SeqCst);
        Ok(version)
    }
    async fn active(&self, _: &Scope) -> Result<i64> {
        Ok(self.1.load(Ordering::SeqCst))
    }
    async fn version(&self, scope: &Scope, version: i64) -> Result<Option<PolicyVersion>> {
        self.0.version(&everyone(scope), version).await
    }
    async fn versions(&self, scope: &Scope, _: Option<&str>, limit: u32) -> Result<Page<PolicyHead>> {
        self.0.versions(&everyone(scope), None, limit).await
    }
}

#[tokio::test]
async fn a_sloppy_policy_store_is_found_out() {
    let report =
        conformance::run(POLICY_STORE, async || Arc::new(SloppyPolicies::default()) as Arc<dyn PolicyStore>);
    let report = report.await;
    for promise in [
        "a_number_is_one_text",
        "tenants_are_kept_apart",
        "only_what_is_valid_decides",
        "no_lost_activation",
        "versions_are_bounded",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

/// An engine that allows what any rule allows, takes errors for silence, says nothing, and mixes up what is
/// asked at the same time.
#[derive(Debug, Default)]
struct SloppyEngine(AtomicBool);

#[async_trait]
impl Policy for SloppyEngine {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        let request = asked.request();
        let admin = request.principal.roles.iter().any(|role| role.as_str() != "nobody");
        self.0.store(admin, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(Decision { allowed: self.0.load(Ordering::SeqCst), reasons: Vec::new(), errors: Vec::new() })
    }
}

#[tokio::test]
async fn a_sloppy_engine_is_found_out() {
    let report =
        conformance::run(POLICY, async || Arc::new(SloppyEngine::default()) as Arc<dyn Policy>).await;
    for promise in [
        "nothing_is_allowed_by_default",
        "deny_wins",
        "errors_deny",
        "decisions_are_explained",
        "requests_are_kept_apart",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
    // What the boundary keeps, no engine can break.
    for promise in ["nothing_crosses_tenants", "requests_are_bounded"] {
        assert!(!report.failed(promise), "`{promise}` depends on the engine");
    }
}
