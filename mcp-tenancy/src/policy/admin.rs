//! What an administrator of a tenant does with its policy.

use std::sync::Arc;

use mcp_core::{
    Error, Result, Scope,
    scope::{Principal, TenantId},
};
use serde::Serialize;

use super::{
    Decision, NewPolicy, Policy, PolicyHead, PolicyRequest, PolicyStore, PolicyVersion, RequestRecorder,
    TenantPolicies, decide, store::not_found,
};
use crate::{role::RoleDirectory, tenant::Page};

/// The permission to see policies, and to try one on what was asked lately.
pub const READ_POLICIES: &str = "policies:read";
/// The permission to write, validate and activate policies.
pub const WRITE_POLICIES: &str = "policies:write";
/// Most changed decisions a dry run lists; the rest are counted.
const LISTED: usize = 50;

/// Writes, checks, tries and activates a tenant's policies.
///
/// Reading needs [`READ_POLICIES`], changing [`WRITE_POLICIES`], which is as much as administering the
/// tenant: who writes the policy decides what is allowed. These checks look at permissions and roles alone,
/// so that a policy that denies everything can be replaced.
#[derive(Debug, Clone)]
pub struct PolicyAdmin {
    store: Arc<dyn PolicyStore>,
    policies: TenantPolicies,
    recorder: RequestRecorder,
    roles: RoleDirectory,
}

/// A decision that would be another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Changed {
    /// What was asked.
    pub request: PolicyRequest,
    /// What the policy that is active now decides.
    pub before: Decision,
    /// What the version that was tried decides.
    pub after: Decision,
}

/// What a version would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct DryRun {
    /// Requests it was tried on.
    pub requests: usize,
    /// Of these, allowed now and denied by it.
    pub newly_denied: usize,
    /// Denied now and allowed by it.
    pub newly_allowed: usize,
    /// Those on which it failed, which denies them.
    pub failed: usize,
    /// The first decisions that change, at most 50.
    pub changed: Vec<Changed>,
}

impl PolicyAdmin {
    /// Changes `store`, which `policies` asks too; tries versions on what `recorder` keeps.
    #[must_use]
    pub fn new(
        store: Arc<dyn PolicyStore>,
        policies: TenantPolicies,
        recorder: RequestRecorder,
        roles: RoleDirectory,
    ) -> Self {
        Self { store, policies, recorder, roles }
    }

    /// Keeps a new version, as a draft.
    ///
    /// # Errors
    /// As [`PolicyStore::draft`]; [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) without
    /// [`WRITE_POLICIES`].
    pub async fn draft(&self, scope: &Scope, new: NewPolicy) -> Result<PolicyVersion> {
        self.require(scope, WRITE_POLICIES).await?;
        self.store.draft(scope, new).await
    }

    /// Compiles a version and notes that it is valid.
    ///
    /// # Errors
    /// As [`Compiler::compile`](super::Compiler::compile), with line and column; as
    /// [`PolicyStore::mark_validated`]; `PermissionDenied` without [`WRITE_POLICIES`].
    pub async fn validate(&self, scope: &Scope, version: i64) -> Result<PolicyVersion> {
        self.require(scope, WRITE_POLICIES).await?;
        self.compiled("policy.validate", scope, version).await?;
        self.store.mark_validated(scope, version).await
    }

    /// Tries a version on what was asked lately, beside the policy that is active. Changes nothing.
    ///
    /// # Errors
    /// As [`validate`](Self::validate); `PermissionDenied` without [`READ_POLICIES`].
    pub async fn dry_run(&self, scope: &Scope, version: i64) -> Result<DryRun> {
        self.require(scope, READ_POLICIES).await?;
        let candidate = self.compiled("policy.dry_run", scope, version).await?;
        let mut run = DryRun::default();
        for request in self.recorder.recorded(scope.tenant()).await {
            let asker = asker(scope.tenant(), &request);
            let before = decide(&self.policies, &asker, &request).await?;
            let after = decide(&*candidate, &asker, &request).await?;
            run.requests += 1;
            run.failed += usize::from(!after.errors.is_empty());
            match (before.allowed, after.allowed) {
                (true, false) => run.newly_denied += 1,
                (false, true) => run.newly_allowed += 1,
                _ => continue,
            }
            if run.changed.len() < LISTED {
                run.changed.push(Changed { request, before, after });
            }
        }
        Ok(run)
    }

    /// Makes a validated version the one that decides, in place of `expected` (0: none); an earlier one as
    /// well. It decides here at once, on other replicas within a second.
    ///
    /// # Errors
    /// As [`PolicyStore::activate`]; as [`Compiler::compile`](super::Compiler::compile) if it is not valid any
    /// more; `PermissionDenied` without [`WRITE_POLICIES`].
    pub async fn activate(&self, scope: &Scope, version: i64, expected: i64) -> Result<i64> {
        self.require(scope, WRITE_POLICIES).await?;
        if version != 0 {
            self.compiled("policy.activate", scope, version).await?;
        }
        let active = self.store.activate(scope, version, expected).await?;
        self.policies.forget(scope.tenant()).await;
        Ok(active)
    }

    /// Lets the default decide again.
    ///
    /// # Errors
    /// As [`activate`](Self::activate).
    pub async fn deactivate(&self, scope: &Scope, expected: i64) -> Result<()> {
        self.activate(scope, 0, expected).await.map(drop)
    }

    /// A version.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound); as the store's; `PermissionDenied` without
    /// [`READ_POLICIES`].
    pub async fn version(&self, scope: &Scope, version: i64) -> Result<PolicyVersion> {
        self.require(scope, READ_POLICIES).await?;
        self.find("policy.read", scope, version).await
    }

    /// One page of the versions, the newest first.
    ///
    /// # Errors
    /// As [`PolicyStore::versions`]; `PermissionDenied` without [`READ_POLICIES`].
    pub async fn versions(
        &self,
        scope: &Scope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<PolicyHead>> {
        self.require(scope, READ_POLICIES).await?;
        self.store.versions(scope, cursor, limit).await
    }

    /// The number of the version that is active; 0 where none is.
    ///
    /// # Errors
    /// As [`PolicyStore::active`]; `PermissionDenied` without [`READ_POLICIES`].
    pub async fn active(&self, scope: &Scope) -> Result<i64> {
        self.require(scope, READ_POLICIES).await?;
        self.store.active(scope).await
    }

    async fn require(&self, scope: &Scope, needed: &'static str) -> Result<()> {
        self.roles.widen(scope).await?.require(needed)
    }

    async fn find(&self, operation: &'static str, scope: &Scope, version: i64) -> Result<PolicyVersion> {
        self.store.version(scope, version).await?.ok_or_else(|| not_found(operation, version))
    }

    async fn compiled(
        &self,
        operation: &'static str,
        scope: &Scope,
        version: i64,
    ) -> Result<Arc<dyn Policy>, Error> {
        self.policies.compile(self.find(operation, scope, version).await?.policy).await
    }
}

/// Who asked then.
fn asker(tenant: &TenantId, request: &PolicyRequest) -> Scope {
    let subject = &request.principal;
    let principal =
        Principal { id: subject.id.clone(), kind: subject.kind, permissions: subject.permissions.clone() };
    Scope::new(tenant.clone(), Arc::new(principal))
}
