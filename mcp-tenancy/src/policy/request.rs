//! What a policy is asked, and what it answers.

use std::collections::BTreeSet;

use mcp_core::{
    Error, ErrorKind, Result, Scope,
    access::{Access, require_own},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::role::{Granted, RoleName};

/// Largest request a policy is asked about, as JSON, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Deepest attribute, in lists and objects within each other.
const MAX_DEPTH: usize = 32;
/// Most reasons a decision gives, and errors it lists.
const MAX_REASONS: usize = 16;
/// Longest reason, in characters.
const MAX_REASON: usize = 200;

/// Who asks, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Subject {
    /// Unique within the tenant.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The roles that count for its credential, those they inherit from included.
    pub roles: BTreeSet<RoleName>,
    /// What its credential and these roles allow.
    pub permissions: Permissions,
}

/// What a policy is asked: may this principal do this action to this resource, in these circumstances?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct PolicyRequest {
    /// Who asks.
    pub principal: Subject,
    /// Action, resource and circumstances.
    #[serde(flatten)]
    pub access: Access,
}

impl PolicyRequest {
    /// What the scope's principal asks, with what its roles come to.
    #[must_use]
    pub fn new(scope: &Scope, granted: &Granted, access: Access) -> Self {
        let Principal { id, kind, permissions } = scope.principal().clone();
        let permissions = permissions.iter().chain(granted.permissions.iter()).cloned().collect();
        Self { principal: Subject { id, kind, roles: granted.roles.clone(), permissions }, access }
    }

    /// Whether the permissions of the principal cover the action.
    #[must_use]
    pub fn permitted(&self) -> bool {
        self.principal.permissions.allows(self.access.action.as_str())
    }

    /// The one role that Rego policies of a single `user_role` see: `admin` for who has it, else the first
    /// by name.
    #[cfg(any(feature = "rego", feature = "opa"))]
    pub(super) fn leading_role(&self) -> Option<&RoleName> {
        let roles = &self.principal.roles;
        roles.iter().find(|role| role.as_str() == "admin").or_else(|| roles.first())
    }
}

/// A request that has passed the tenant boundary: the only thing an engine can be asked.
///
/// It is made by [`Bounded::check`] alone, so that no engine, whatever its policies say, is ever asked
/// whether something of one tenant may be done for another.
#[derive(Debug, Clone, Copy)]
pub struct Bounded<'a> {
    scope: &'a Scope,
    request: &'a PolicyRequest,
}

impl<'a> Bounded<'a> {
    /// Lets a request through whose resource is of the scope's tenant and whose principal is the scope's, and
    /// that is not too large.
    ///
    /// # Errors
    /// The denial; it names no tenant.
    pub fn check(scope: &'a Scope, request: &'a PolicyRequest) -> std::result::Result<Self, Decision> {
        let principal = scope.principal();
        if require_own(scope, &request.access).is_err() {
            return Err(Decision::deny([TENANT_BOUNDARY]));
        }
        if principal.id != request.principal.id || principal.kind != request.principal.kind {
            return Err(Decision::deny([TENANT_BOUNDARY]));
        }
        let access = &request.access;
        if access
            .context
            .values()
            .chain(access.resource.attributes.values())
            .any(|value| nests(value, MAX_DEPTH))
        {
            return Err(Decision::deny([REQUEST_TOO_LARGE]));
        }
        match serde_json::to_vec(request) {
            Ok(json) if json.len() <= MAX_REQUEST => Ok(Self { scope, request }),
            _ => Err(Decision::deny([REQUEST_TOO_LARGE])),
        }
    }

    /// For whom it is asked.
    #[must_use]
    pub const fn scope(&self) -> &'a Scope {
        self.scope
    }

    /// What is asked.
    #[must_use]
    pub const fn request(&self) -> &'a PolicyRequest {
        self.request
    }
}

/// Whether a value nests deeper than `left`.
fn nests(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left == 0 || items.iter().any(|item| nests(item, left - 1)),
        Value::Object(fields) => left == 0 || fields.values().any(|field| nests(field, left - 1)),
        _ => false,
    }
}

/// The reason of a denial at the tenant boundary.
pub const TENANT_BOUNDARY: &str = "tenant-boundary";
/// The reason of a denial for size.
pub const REQUEST_TOO_LARGE: &str = "request-too-large";

/// What a policy decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Which policies determined that, by id or message; empty where nothing allowed it.
    pub reasons: Vec<String>,
    /// What went wrong while policies were asked; a decision with errors is never an allowance.
    pub errors: Vec<String>,
}

impl Decision {
    /// An allowance determined by these policies.
    #[must_use]
    pub fn allow<T: Into<String>>(reasons: impl IntoIterator<Item = T>) -> Self {
        Self { allowed: true, reasons: bounded(reasons), errors: Vec::new() }
    }

    /// A denial determined by these policies; by none where nothing allowed it.
    #[must_use]
    pub fn deny<T: Into<String>>(reasons: impl IntoIterator<Item = T>) -> Self {
        Self { allowed: false, reasons: bounded(reasons), errors: Vec::new() }
    }

    /// A denial because policies could not be asked to the end.
    #[must_use]
    pub fn failed<T: Into<String>>(errors: impl IntoIterator<Item = T>) -> Self {
        Self { allowed: false, reasons: Vec::new(), errors: bounded(errors) }
    }

    /// The same decision in words, for audit records: at most a few hundred characters.
    #[must_use]
    pub fn explain(&self) -> String {
        let verb = if self.allowed { "allowed" } else { "denied" };
        match (self.errors.first(), self.reasons.is_empty()) {
            (Some(error), _) => format!("{verb}: {error}"),
            (None, true) => format!("{verb}: no policy allows it"),
            (None, false) => format!("{verb} by {}", self.reasons.join(", ")),
        }
    }

    /// The refusal of `request`, where it is denied. What the policy said stays in the audit record: its
    /// texts are for administrators, not for callers.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied).
    pub fn require(&self, request: &PolicyRequest) -> Result<()> {
        if self.allowed {
            return Ok(());
        }
        if !request.permitted() && self.errors.is_empty() {
            return Err(request.access.action.missing());
        }
        let action = &request.access.action;
        Err(Error::new(
            ErrorKind::PermissionDenied,
            "access.authorize",
            format!("a policy does not allow `{action}` here; ask an administrator of the tenant"),
        ))
    }
}

fn bounded<T: Into<String>>(reasons: impl IntoIterator<Item = T>) -> Vec<String> {
    let short = |reason: T| {
        let reason: String = reason.into();
        match reason.char_indices().nth(MAX_REASON) {
            Some((end, _)) => format!("{}…", &reason[..end]),
            None => reason,
        }
    };
    reasons.into_iter().take(MAX_REASONS).map(short).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mcp_core::{
        access::{Action, Resource},
        scope::TenantId,
    };

    use super::*;

    fn scope(tenant: &str, principal: &str) -> Scope {
        let principal = Principal {
            id: PrincipalId::parse(principal).unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::parse(["*"]).unwrap(),
        };
        Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
    }

    fn request(scope: &Scope) -> PolicyRequest {
        let resource = Resource::of(scope, "tool", "echo").unwrap();
        PolicyRequest::new(scope, &Granted::default(), Access::new(Action::constant("tools:call"), resource))
    }

    #[test]
    fn the_boundary_looks_at_tenant_principal_and_size() {
        let (acme, beta) = (scope("acme", "u1"), scope("beta", "u1"));
        assert!(Bounded::check(&acme, &request(&acme)).is_ok());
        assert_eq!(Bounded::check(&beta, &request(&acme)).unwrap_err().reasons, [TENANT_BOUNDARY]);
        let other = scope("acme", "u2");
        assert_eq!(Bounded::check(&other, &request(&acme)).unwrap_err().reasons, [TENANT_BOUNDARY]);
        let mut large = request(&acme);
        large.access = large.access.with("text", "x".repeat(MAX_REQUEST));
        assert_eq!(Bounded::check(&acme, &large).unwrap_err().reasons, [REQUEST_TOO_LARGE]);
    }

    #[test]
    fn explanations_are_bounded() {
        let decision = Decision::deny((0..100).map(|_| "é".repeat(1000)));
        assert_eq!(decision.reasons.len(), MAX_REASONS);
        assert!(decision.reasons.iter().all(|reason| reason.chars().count() == MAX_REASON + 1));
        assert_eq!(Decision::deny::<String>([]).explain(), "denied: no policy allows it");
    }
}
