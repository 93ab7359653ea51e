//! Refusals of the REST API, which the caller's tenant finds in its audit chain.

use super::ApiError;
use crate::{
    Error, Scope,
    audit::{AuditRecord, Chain, DenialLog, Outcome},
};

/// Characters of a caller's path that an audit record keeps.
const MAX_RESOURCE: usize = 200;

/// Requires a permission for `resource`; a refusal goes into the audit chain of the caller's tenant.
///
/// # Errors
/// `PermissionDenied` that names the permission.
pub fn require(
    denials: &dyn DenialLog,
    scope: &Scope,
    wanted: &'static str,
    resource: &str,
) -> Result<(), ApiError> {
    scope.require(wanted).map_err(|error| deny(denials, scope, resource, error))
}

/// Records that `resource` was refused to the caller, and answers with `error`.
pub fn deny(denials: &dyn DenialLog, scope: &Scope, resource: &str, error: Error) -> ApiError {
    let record = AuditRecord {
        actor: scope.principal().id.to_string(),
        action: "api.denied".into(),
        resource: resource.chars().take(MAX_RESOURCE).collect(),
        outcome: Outcome::Denied,
        request_id: scope.request_id().to_string(),
        detail: serde_json::json!({ "reason": error.message() }),
    };
    denials.denied(Chain::Tenant(scope.tenant().clone()), record);
    error.into()
}
