//! What the layers of tenants decide, for a handler that finds out by itself who calls it.

use std::sync::Arc;

use http::request::Parts;
use mcp_core::{
    Error, ErrorKind, Result,
    audit::DenialLog,
    limit::{Decision, RateLimiter},
};

use super::{RateLimitLayer, TenantLayer, denial::Denials, tenant::scope_of};
use crate::{auth::Identity, limit::LimitPolicy, tenant::TenantDirectory};

/// Authentication is the handler's; tenant and rate limit are as the layers have them.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    tenant: TenantLayer,
    limit: RateLimitLayer,
    denials: Denials,
}

impl Admission {
    pub(crate) fn new(
        directory: Arc<TenantDirectory>,
        limiter: Arc<dyn RateLimiter>,
        policy: Arc<LimitPolicy>,
        log: Arc<dyn DenialLog>,
    ) -> Self {
        Self {
            tenant: TenantLayer::new(directory, log.clone()),
            limit: RateLimitLayer::new(limiter, log.clone()).with_policy(policy),
            denials: Denials::new(log),
        }
    }

    /// Whether `identity` may go on with this request.
    pub(crate) async fn admit(&self, request: &mut Parts, identity: Identity) -> Result<Option<Decision>> {
        request.extensions.insert(identity.clone());
        let known = self.tenant.resolve(&request.headers, &request.extensions).await?;
        let scope = scope_of(&identity, &request.extensions);
        request.extensions.insert(scope);
        request.extensions.insert(known);
        self.limit.check(request).await
    }

    /// Counts and records the refusal of a credential.
    pub(crate) fn refused(&self, request: &Parts, error: &Error) {
        if error.kind() == ErrorKind::Unauthenticated {
            self.denials.anonymous(&request.extensions, error);
        }
    }
}
