//! For whom a handler that tenants and operators share works, and as whom.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::{Method, request::Parts};
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    http_api::ApiError,
    layer::Deadline,
    scope::{Permission, Principal, PrincipalId, PrincipalKind, TenantId, TraceContext},
};
use mcp_tenancy::tenant::TenantStatus;

use super::{keys::on_behalf_of, operator::tenant_id};
use crate::platform::Platform;

/// The tenant that a handler works in, and as whom: the caller's own as the caller, or, below
/// `/operator/tenants/{tenant}`, that one as the operator, who may do everything within it.
#[derive(Debug)]
pub(super) struct Acting {
    pub(super) scope: Scope,
    /// The operator's own scope, where an operator acts.
    operator: Option<PlatformScope>,
}

impl Acting {
    /// The scope above tenants for work that a tenant may have done for itself; `reason` goes on from its name.
    pub(super) fn above(&self, reason: &str) -> Result<PlatformScope> {
        match &self.operator {
            Some(operator) => Ok(operator.clone()),
            None => on_behalf_of(&self.scope, reason),
        }
    }

    /// The scope in which what concerns a principal of the tenant is read, as if it asked itself.
    pub(super) fn seen_by(&self, principal: Option<&PrincipalId>) -> Scope {
        let Some(id) = principal else { return self.scope.clone() };
        let principal = Principal { id: id.clone(), ..self.scope.principal().clone() };
        Scope::new(self.scope.tenant().clone(), Arc::new(principal))
            .with_request_id(self.scope.request_id().clone())
    }
}

impl FromRequestParts<Arc<Platform>> for Acting {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, ApiError> {
        if let Some(scope) = parts.extensions.get::<Scope>() {
            return Ok(Self { scope: scope.clone(), operator: None });
        }
        let operator = parts.extensions.get::<PlatformScope>().cloned();
        let operator = operator
            .ok_or_else(|| Error::internal("api.scope", "no layer has made a scope of the request"))?;
        let variables = RawPathParams::from_request_parts(parts, platform).await;
        let variables =
            variables.map_err(|rejection| Error::invalid_input("api.path", rejection.body_text()))?;
        let named = variables.iter().find(|(name, _)| *name == "tenant").map_or("", |(_, id)| id);
        let tenant = platform.tenancy().tenant(&operator, &tenant_id(named)?).await?;
        let refused = |kind, what: &str| {
            Err(Error::new(kind, "tenant.get", format!("the tenant `{}` is {what}", tenant.id)).into())
        };
        match tenant.status {
            TenantStatus::Erased => return refused(ErrorKind::NotFound, "erased"),
            // As with keys and quotas: what it has can be seen until it is gone, and nothing is given to it.
            TenantStatus::Deleting if parts.method != Method::GET => {
                return refused(ErrorKind::Conflict, "deleted; restore it first");
            }
            _ => {}
        }
        Ok(Self { scope: within(tenant.id.clone(), &operator, parts)?, operator: Some(operator) })
    }
}

/// The operator as a principal of the tenant, named so that the tenant's audit log shows who it was.
fn within(tenant: TenantId, operator: &PlatformScope, parts: &Parts) -> Result<Scope> {
    let name: String = format!("operator/{}", operator.actor()).chars().take(128).collect();
    let principal = Principal {
        id: PrincipalId::parse(&name)?,
        kind: PrincipalKind::User,
        permissions: std::iter::once(Permission::parse("*")?).collect(),
    };
    let mut scope = Scope::new(tenant, Arc::new(principal)).with_request_id(operator.request_id().clone());
    if let Some(trace) = parts.extensions.get::<TraceContext>() {
        scope = scope.with_trace(*trace);
    }
    if let Some(Deadline(at)) = parts.extensions.get::<Deadline>() {
        scope = scope.with_deadline(*at);
    }
    Ok(scope)
}
