//! What is a tenant's among roles and policies outside of the databases: stores in memory, and what is remembered.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    erase::{Erased, TenantEraser},
    scope::TenantId,
};

use super::{MemoryPolicyStore, RequestRecorder, TenantPolicies};
use crate::role::{MemoryRoleStore, RoleDirectory};

/// The stores of an [`Authorization`](super::Authorization) in memory.
#[derive(Debug, Default)]
pub(super) struct MemoryStores {
    pub(super) roles: MemoryRoleStore,
    pub(super) policies: MemoryPolicyStore,
}

#[async_trait]
impl TenantEraser for MemoryStores {
    fn name(&self) -> &'static str {
        "authorization-memory"
    }

    async fn erase(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let mut erased = Erased::default();
        let (roles, given) = self.roles.erase(tenant);
        // By the names that tables in databases have.
        erased.count("role", roles);
        erased.count("role_holder", given);
        erased.count("policy_version", self.policies.erase(tenant));
        Ok(erased)
    }
}

/// What this process remembers of roles and policies. Other replicas forget it within the time that they keep what
/// nobody asks for.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) roles: RoleDirectory,
    pub(super) policies: TenantPolicies,
    pub(super) requests: RequestRecorder,
}

#[async_trait]
impl TenantEraser for Remembered {
    fn name(&self) -> &'static str {
        "authorization"
    }

    async fn erase(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let mut erased = Erased::default();
        erased.count("recorded_request", self.requests.erase(tenant).await);
        self.roles.forget(tenant);
        self.policies.erase(tenant).await;
        Ok(erased)
    }
}
