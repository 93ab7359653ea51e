//! Whether: the port through which the gateway, the REST APIs and the stores ask if something may be done.
//!
//! An [`Authorizer`] answers for one [`Access`]: an [`Action`] on a [`Resource`]. [`AllowByPermission`] is the
//! one that needs nothing: it looks at the permissions of the scope alone. What asks policies is in
//! `mcp-tenancy`.
//!
//! ```
//! # use std::sync::Arc;
//! # use mcp_core::scope::{Permissions, Principal, PrincipalId, PrincipalKind, Scope, TenantId};
//! use mcp_core::access::{Access, Action, AllowByPermission, Authorizer, Resource};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mcp_core::Result<()> {
//! # let principal = Principal {
//! #     id: PrincipalId::parse("user-789")?,
//! #     kind: PrincipalKind::User,
//! #     permissions: Permissions::parse(["tools:call"])?,
//! # };
//! # let scope = Scope::new(TenantId::parse("tenant-123")?, Arc::new(principal));
//! let tool = Resource::of(&scope, "tool", "everything__echo")?;
//! AllowByPermission.authorize(&scope, &Access::new(Action::parse("tools:call")?, tool)).await?;
//! # Ok(())
//! # }
//! ```

mod model;

use std::fmt;

use async_trait::async_trait;

pub use model::{Access, Action, Attributes, Resource, ResourceKind};

use crate::{
    error::{Error, Result},
    scope::Scope,
};

/// Decides whether the scope's principal may do something within its tenant.
///
/// Promises:
/// - **Nothing crosses tenants**: what belongs to another tenant than the scope's is refused, whoever asks.
/// - **What cannot be decided is refused**: an error is never an allowance.
///
/// # Cancellation
/// Asking changes nothing; a call may be dropped at any time.
#[async_trait]
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// Whether `access` is allowed.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it is not,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if that cannot be found out now; the caller refuses
    /// then too.
    async fn authorize(&self, scope: &Scope, access: &Access) -> Result<()>;
}

/// Allows what the scope's permissions cover, as [`Scope::require`] does.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowByPermission;

#[async_trait]
impl Authorizer for AllowByPermission {
    async fn authorize(&self, scope: &Scope, access: &Access) -> Result<()> {
        require_own(scope, access)?;
        if scope.principal().permissions.allows(access.action.as_str()) {
            return Ok(());
        }
        Err(access.action.missing())
    }
}

/// Requires that what is accessed belongs to the scope's tenant: what every [`Authorizer`] does first.
///
/// # Errors
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied), which does not name the other tenant.
pub fn require_own(scope: &Scope, access: &Access) -> Result<()> {
    if access.resource.tenant == *scope.tenant() {
        return Ok(());
    }
    Err(Error::permission_denied("access.authorize", "this is not within the tenant of these credentials"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        ErrorKind,
        error::Detail,
        scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    };

    fn scope(permissions: &[&str]) -> Scope {
        let principal = Principal {
            id: PrincipalId::parse("u1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::parse(permissions.iter().copied()).unwrap(),
        };
        Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
    }

    fn access(scope: &Scope, action: Action) -> Access {
        Access::new(action, Resource::of(scope, "tool", "echo").unwrap())
    }

    #[tokio::test]
    async fn permissions_decide() {
        const CALL: Action = Action::constant("tools:call");
        let may = scope(&["tools:*"]);
        assert!(AllowByPermission.authorize(&may, &access(&may, CALL)).await.is_ok());
        let may_not = scope(&["audit:read"]);
        let error = AllowByPermission.authorize(&may_not, &access(&may_not, CALL)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.details(), [Detail::MissingScope { scope: "tools:call" }]);
        let named = Action::named("tools:call").unwrap();
        let error = AllowByPermission.authorize(&may_not, &access(&may_not, named)).await.unwrap_err();
        assert_eq!(error.details(), [Detail::MissingScope { scope: "tools:call" }], "nothing to step up to");
        let parsed = Action::parse("tools:call").unwrap();
        let error = AllowByPermission.authorize(&may_not, &access(&may_not, parsed)).await.unwrap_err();
        assert!(error.message().contains("tools:call"));
    }

    #[tokio::test]
    async fn every_permission_ends_at_the_tenant() {
        let all = scope(&["*"]);
        let mut foreign = access(&all, Action::constant("tools:call"));
        foreign.resource.tenant = TenantId::parse("beta").unwrap();
        let error = AllowByPermission.authorize(&all, &foreign).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(!error.to_string().contains("beta"));
    }
}
