//! Policies behind the port that everything asks.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    access::{Access, Authorizer},
    audit::{AuditRecord, Chain, DenialLog, Outcome},
};
use serde_json::json;

use super::{Decision, Policy, PolicyRequest, RequestRecorder, decide};
use crate::role::RoleDirectory;

/// Resources' ids in audit records are cut here, in characters.
const MAX_RESOURCE: usize = 200;

/// An [`Authorizer`] that asks a policy about the scope's principal and its roles.
///
/// Denials are recorded in the tenant's audit chain with what the policy said, and counted in
/// `mcp_requests_denied_total{action="access.denied"}`; what was asked is kept for dry runs.
#[derive(Debug, Clone)]
pub struct PolicyAuthorizer {
    policy: Arc<dyn Policy>,
    roles: RoleDirectory,
    recorder: RequestRecorder,
    log: Arc<dyn DenialLog>,
}

impl PolicyAuthorizer {
    /// Asks `policy`.
    #[must_use]
    pub fn new(
        policy: Arc<dyn Policy>,
        roles: RoleDirectory,
        recorder: RequestRecorder,
        log: Arc<dyn DenialLog>,
    ) -> Self {
        Self { policy, roles, recorder, log }
    }

    /// What the policy decides, and why; nothing is recorded as a denial.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if it cannot be asked now.
    pub async fn explain(&self, scope: &Scope, access: Access) -> Result<(PolicyRequest, Decision)> {
        let granted = self.roles.granted(scope).await?;
        let request = PolicyRequest::new(scope, &granted, access);
        let decision = decide(&*self.policy, scope, &request).await?;
        Ok((request, decision))
    }

    fn denied(&self, scope: &Scope, request: &PolicyRequest, decision: &Decision) {
        let reason = if decision.errors.is_empty() { "policy" } else { "policy failed" };
        metrics::counter!("mcp_requests_denied_total", "action" => "access.denied", "reason" => reason)
            .increment(1);
        let (action, resource) = (&request.access.action, &request.access.resource);
        let id: String = resource.id.chars().take(MAX_RESOURCE).collect();
        let record = AuditRecord {
            actor: scope.principal().id.as_str().to_owned(),
            action: "access.denied".into(),
            resource: format!("{}/{id}", resource.kind.as_str()),
            outcome: Outcome::Denied,
            request_id: scope.request_id().as_str().to_owned(),
            detail: json!({ "action": action, "reason": decision.explain() }),
        };
        self.log.denied(Chain::Tenant(scope.tenant().clone()), record);
    }
}

#[async_trait]
impl Authorizer for PolicyAuthorizer {
    async fn authorize(&self, scope: &Scope, access: &Access) -> Result<()> {
        let (request, decision) = self.explain(scope, access.clone()).await?;
        // What is aimed at another tenant is no example to try policies on.
        if request.access.resource.tenant == *scope.tenant() {
            self.recorder.record(scope.tenant(), &request).await;
        }
        if !decision.allowed {
            self.denied(scope, &request, &decision);
        }
        decision.require(&request)
    }
}
