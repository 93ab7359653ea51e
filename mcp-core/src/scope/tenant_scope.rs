//! The scope of one operation on one tenant's data.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Principal, RequestId, TenantId, TraceContext};
use crate::error::{Error, Result};

/// Tenant, principal, deadline and trace of one operation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scope {
    tenant: TenantId,
    principal: Arc<Principal>,
    request_id: RequestId,
    trace: TraceContext,
    deadline: Option<Instant>,
}

impl Scope {
    /// A scope with a fresh request id and trace and no deadline.
    ///
    /// Whoever calls this vouches that `principal` has been authenticated as acting for `tenant`.
    #[must_use]
    pub fn new(tenant: TenantId, principal: Arc<Principal>) -> Self {
        Self::of_request(tenant, principal, RequestId::generate(), TraceContext::generate())
    }

    /// A scope of a request that has its id and trace already, without a deadline.
    ///
    /// Whoever calls this vouches for `principal` as with [`new`](Self::new).
    #[must_use]
    pub const fn of_request(
        tenant: TenantId,
        principal: Arc<Principal>,
        request_id: RequestId,
        trace: TraceContext,
    ) -> Self {
        Self { tenant, principal, request_id, trace, deadline: None }
    }

    /// The same scope for `principal`, for whom the caller vouches as with [`new`](Self::new).
    #[must_use]
    pub fn with_principal(mut self, principal: Arc<Principal>) -> Self {
        self.principal = principal;
        self
    }

    /// The same scope as part of the request `id`.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = id;
        self
    }

    /// The same scope within `trace`.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    /// The same scope with a deadline; an earlier one that is already set stays.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |set| set.min(deadline)));
        self
    }

    /// The tenant whose data may be touched.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who acts.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The request this is part of.
    #[must_use]
    pub const fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The trace this is part of.
    #[must_use]
    pub const fn trace(&self) -> TraceContext {
        self.trace
    }

    /// When the caller stops waiting, if ever.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time left until the deadline, at most `cap`; zero when it has passed.
    #[must_use]
    pub fn remaining(&self, cap: Duration) -> Duration {
        self.deadline.map_or(cap, |at| at.saturating_duration_since(Instant::now()).min(cap))
    }

    /// Requires the permission `wanted` (`area:verb`).
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) that names the permission.
    pub fn require(&self, wanted: &'static str) -> Result<()> {
        if self.principal.permissions.allows(wanted) {
            return Ok(());
        }
        Err(Error::permission_denied("scope.require", format!("this needs the permission `{wanted}`"))
            .with_detail(crate::error::Detail::MissingScope { scope: wanted }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::{Permissions, PrincipalId, PrincipalKind};

    fn scope() -> Scope {
        let principal = Principal {
            id: PrincipalId::parse("u1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::parse(["tools:call"]).unwrap(),
        };
        Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
    }

    #[test]
    fn a_deadline_only_ever_shrinks() {
        let now = Instant::now();
        let soon = now + Duration::from_secs(1);
        let late = now + Duration::from_secs(9);
        assert_eq!(scope().with_deadline(soon).with_deadline(late).deadline(), Some(soon));
        assert_eq!(scope().with_deadline(late).with_deadline(soon).deadline(), Some(soon));
        assert_eq!(scope().with_deadline(now).remaining(Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(scope().remaining(Duration::from_secs(5)), Duration::from_secs(5));
    }

    #[test]
    fn a_missing_permission_is_named() {
        assert!(scope().require("tools:call").is_ok());
        let error = scope().require("audit:read").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("audit:read"));
    }
}
