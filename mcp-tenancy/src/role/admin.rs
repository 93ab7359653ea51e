//! Who may change roles: those who may, and only as far as they reach themselves.

use std::sync::Arc;

use mcp_core::{
    Error, Result, Scope,
    scope::{Permissions, PrincipalId},
};

use super::{Granted, NewRole, Role, RoleDirectory, RoleName, RoleStore};
use crate::tenant::Page;

/// The permission to see roles and who has them.
pub const READ_ROLES: &str = "roles:read";
/// The permission to change roles, give and take them.
pub const WRITE_ROLES: &str = "roles:write";

/// What an administrator of a tenant does with its roles.
///
/// Reading needs [`READ_ROLES`], changing [`WRITE_ROLES`]. Nobody can give, to others or to themselves, a
/// permission that they do not have: a role that comes to more than its author is refused, and so is giving
/// it.
#[derive(Debug, Clone)]
pub struct RoleAdmin {
    store: Arc<dyn RoleStore>,
    directory: RoleDirectory,
}

impl RoleAdmin {
    /// Changes `store`; `directory` forgets at once what a change makes wrong.
    #[must_use]
    pub fn new(store: Arc<dyn RoleStore>, directory: RoleDirectory) -> Self {
        Self { store, directory }
    }

    /// Makes a role (`expected_version` 0) or replaces it.
    ///
    /// # Errors
    /// As [`RoleStore::put`]; [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) without
    /// [`WRITE_ROLES`] and for a role that comes to more than the scope's principal may do.
    pub async fn put(&self, scope: &Scope, role: NewRole, expected_version: i64) -> Result<Role> {
        let own = self.own(scope, WRITE_ROLES).await?;
        let stored = self.store.roles(scope).await?;
        let parents = Granted::of(&stored, &role.inherits).permissions;
        within(&own, role.permissions.iter().chain(parents.iter()).map(|permission| permission.as_str()))?;
        let role = self.store.put(scope, role, expected_version).await?;
        self.directory.forget(scope.tenant());
        Ok(role)
    }

    /// All roles of the tenant.
    ///
    /// # Errors
    /// As [`RoleStore::roles`]; `PermissionDenied` without [`READ_ROLES`].
    pub async fn roles(&self, scope: &Scope) -> Result<Vec<Role>> {
        self.own(scope, READ_ROLES).await?;
        self.store.roles(scope).await
    }

    /// Deletes a role and takes it from all who had it.
    ///
    /// # Errors
    /// As [`RoleStore::delete`]; `PermissionDenied` without [`WRITE_ROLES`].
    pub async fn delete(&self, scope: &Scope, name: &RoleName, expected_version: i64) -> Result<()> {
        self.own(scope, WRITE_ROLES).await?;
        self.store.delete(scope, name, expected_version).await?;
        self.directory.forget(scope.tenant());
        Ok(())
    }

    /// Gives a role to a principal.
    ///
    /// # Errors
    /// As [`RoleStore::assign`]; `PermissionDenied` without [`WRITE_ROLES`] and for a role that comes to more
    /// than the scope's principal may do.
    pub async fn assign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        let own = self.own(scope, WRITE_ROLES).await?;
        let given = Granted::of(&self.store.roles(scope).await?, [role]).permissions;
        within(&own, given.iter().map(|permission| permission.as_str()))?;
        self.store.assign(scope, principal, role).await?;
        self.directory.forget(scope.tenant());
        Ok(())
    }

    /// Takes a role from a principal.
    ///
    /// # Errors
    /// As [`RoleStore::unassign`]; `PermissionDenied` without [`WRITE_ROLES`].
    pub async fn unassign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        self.own(scope, WRITE_ROLES).await?;
        self.store.unassign(scope, principal, role).await?;
        self.directory.forget(scope.tenant());
        Ok(())
    }

    /// What a principal's roles come to.
    ///
    /// # Errors
    /// As [`RoleStore::granted`]; `PermissionDenied` without [`READ_ROLES`].
    pub async fn granted(&self, scope: &Scope, principal: &PrincipalId) -> Result<Granted> {
        self.own(scope, READ_ROLES).await?;
        self.store.granted(scope, principal).await
    }

    /// The principals who were given a role.
    ///
    /// # Errors
    /// As [`RoleStore::holders`]; `PermissionDenied` without [`READ_ROLES`].
    pub async fn holders(
        &self,
        scope: &Scope,
        role: &RoleName,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<PrincipalId>> {
        self.own(scope, READ_ROLES).await?;
        self.store.holders(scope, role, cursor, limit).await
    }

    /// What the scope's principal may do, its roles included; `needed` must be among it.
    async fn own(&self, scope: &Scope, needed: &'static str) -> Result<Permissions> {
        let wide = self.directory.widen(scope).await?;
        wide.require(needed)?;
        Ok(wide.principal().permissions.clone())
    }
}

fn within<'a>(own: &Permissions, mut given: impl Iterator<Item = &'a str>) -> Result<()> {
    match given.find(|permission| !own.allows(permission)) {
        None => Ok(()),
        Some(beyond) => Err(Error::permission_denied(
            "role.give",
            format!("the role comes to `{beyond}`, which you do not have; who has it can give it"),
        )),
    }
}
