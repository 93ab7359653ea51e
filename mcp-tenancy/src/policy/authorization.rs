//! Roles and policies, put together in one place.

use std::sync::Arc;

use mcp_core::{Result, audit::DenialLog, erase::TenantEraser};

use super::{
    AllOf, Compiler, Policy, PolicyAdmin, PolicyAuthorizer, PolicyStore, RequestRecorder, TenantPolicies,
    erasing::{MemoryStores, Remembered},
};
use crate::role::{RoleAdmin, RoleDirectory, RoleStore};

/// What an [`Authorization`] stands on.
#[derive(Debug, Clone)]
pub struct AuthorizationDeps {
    /// Where roles are kept.
    pub roles: Arc<dyn RoleStore>,
    /// Where policies are kept.
    pub policies: Arc<dyn PolicyStore>,
    /// What they may be written in: Cedar under the schema that is shipped, unless changed.
    pub compiler: Compiler,
    /// Policies of the operator's, an OPA for instance, that must allow what a tenant's policy allows, in
    /// their order. None by default.
    pub above: Vec<Arc<dyn Policy>>,
    /// Where denials are recorded.
    pub log: Arc<dyn DenialLog>,
    /// What erases what the stores have of a tenant; none where they are in the databases of a
    /// [`Tenancy`](crate::Tenancy), which are erased whole.
    pub erasers: Vec<Arc<dyn TenantEraser>>,
}

impl AuthorizationDeps {
    /// Roles and policies in these stores.
    ///
    /// # Errors
    /// As [`Compiler::new`].
    pub fn new(
        roles: Arc<dyn RoleStore>,
        policies: Arc<dyn PolicyStore>,
        log: Arc<dyn DenialLog>,
    ) -> Result<Self> {
        Ok(Self { roles, policies, compiler: Compiler::new()?, above: Vec::new(), log, erasers: Vec::new() })
    }

    /// All in memory and gone with the process.
    ///
    /// # Errors
    /// As [`Compiler::new`].
    pub fn memory(log: Arc<dyn DenialLog>) -> Result<Self> {
        let stores = MemoryStores::default();
        let deps = Self::new(Arc::new(stores.roles.clone()), Arc::new(stores.policies.clone()), log)?;
        Ok(Self { erasers: vec![Arc::new(stores)], ..deps })
    }

    /// All in the kernel's SQLite files; `kernel` was opened with
    /// [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
    ///
    /// # Errors
    /// As [`Compiler::new`].
    #[cfg(feature = "sqlite")]
    pub fn sqlite(kernel: &mcp_core::sql::sqlite::SqliteKernel, log: Arc<dyn DenialLog>) -> Result<Self> {
        let roles = Arc::new(crate::role::SqliteRoleStore::new(kernel.clone()));
        Self::new(roles, Arc::new(super::SqlitePolicyStore::new(kernel.clone())), log)
    }

    /// All in the kernel's PostgreSQL database; `kernel` was connected with
    /// [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    ///
    /// # Errors
    /// As [`Compiler::new`].
    #[cfg(feature = "postgres")]
    pub fn postgres(kernel: &mcp_core::sql::postgres::PgKernel, log: Arc<dyn DenialLog>) -> Result<Self> {
        let roles = Arc::new(crate::role::PostgresRoleStore::new(kernel.clone()));
        Self::new(roles, Arc::new(super::PostgresPolicyStore::new(kernel.clone())), log)
    }
}

/// Who may do what within tenants: what decides, and what administers that. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authorization {
    authorizer: Arc<PolicyAuthorizer>,
    directory: RoleDirectory,
    roles: RoleAdmin,
    policies: PolicyAdmin,
    erasers: Vec<Arc<dyn TenantEraser>>,
}

impl Authorization {
    /// Puts it together. Nothing is read yet.
    #[must_use]
    pub fn new(deps: AuthorizationDeps) -> Self {
        let directory = RoleDirectory::new(deps.roles.clone());
        let recorder = RequestRecorder::default();
        let tenants = TenantPolicies::new(deps.policies.clone(), deps.compiler);
        let mut policies = deps.above;
        policies.push(Arc::new(tenants.clone()));
        let policy = Arc::new(AllOf::new(policies));
        let authorizer = PolicyAuthorizer::new(policy, directory.clone(), recorder.clone(), deps.log);
        let mut erasers = deps.erasers;
        erasers.push(Arc::new(Remembered {
            roles: directory.clone(),
            policies: tenants.clone(),
            requests: recorder.clone(),
        }));
        Self {
            authorizer: Arc::new(authorizer),
            roles: RoleAdmin::new(deps.roles, directory.clone()),
            policies: PolicyAdmin::new(deps.policies, tenants, recorder, directory.clone()),
            directory,
            erasers,
        }
    }

    /// What an [`Eraser`](crate::erasure::Eraser) is given among its other parts: it erases what roles and policies keep
    /// of a tenant in memory.
    #[must_use]
    pub fn erasers(&self) -> &[Arc<dyn TenantEraser>] {
        &self.erasers
    }

    /// What decides, for [`AuthorizeLayer`](crate::layer::AuthorizeLayer), the gateway and the REST APIs.
    #[must_use]
    pub const fn authorizer(&self) -> &Arc<PolicyAuthorizer> {
        &self.authorizer
    }

    /// What principals' roles come to, for
    /// [`AuthorizeLayer::with_roles`](crate::layer::AuthorizeLayer::with_roles).
    #[must_use]
    pub const fn directory(&self) -> &RoleDirectory {
        &self.directory
    }

    /// What administers roles.
    #[must_use]
    pub const fn roles(&self) -> &RoleAdmin {
        &self.roles
    }

    /// What administers policies.
    #[must_use]
    pub const fn policies(&self) -> &PolicyAdmin {
        &self.policies
    }
}
