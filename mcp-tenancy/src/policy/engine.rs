//! The port of policy engines, and the two that need no library.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mcp_core::{Result, Scope};

use super::{Bounded, Decision, PolicyRequest};

/// Decides requests within one tenant.
///
/// Promises:
/// - **Nothing crosses tenants**: asked through [`decide`], it allows nothing whose resource is of another
///   tenant than the scope's, to no role.
/// - **Nothing by default**: what no policy allows is denied.
/// - **Deny wins**: what one policy denies is denied, whatever others allow.
/// - **Errors deny**: a policy that cannot be evaluated for a request allows nothing, neither does a request
///   it was not made for.
/// - **Explained**: an allowance names what allowed it; a denial by a policy names that policy.
/// - **Requests apart**: what was asked before, or is asked at the same time, changes no answer.
/// - **Bounded**: a request of any size is answered in bounded time.
///
/// # Cancellation
/// Asking changes nothing; a call may be dropped at any time.
#[async_trait]
pub trait Policy: Send + Sync + fmt::Debug {
    /// Decides a request that has passed the tenant boundary.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the engine cannot answer now; the caller refuses
    /// then.
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision>;
}

/// Asks `policy`, after the tenant boundary: the one way to a decision.
///
/// # Errors
/// As [`Policy::evaluate`].
pub async fn decide(policy: &dyn Policy, scope: &Scope, request: &PolicyRequest) -> Result<Decision> {
    match Bounded::check(scope, request) {
        Ok(asked) => policy.evaluate(asked).await,
        Err(denied) => Ok(denied),
    }
}

/// Allows what the permissions of the principal cover: what holds for a tenant without a policy of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByPermission;

#[async_trait]
impl Policy for ByPermission {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        Ok(match asked.request().permitted() {
            true => Decision::allow(["by-permission"]),
            false => Decision::deny::<String>([]),
        })
    }
}

/// Allows what each of several policies allows, asked in their order: an operator's above a tenant's.
#[derive(Debug, Clone)]
pub struct AllOf(Vec<Arc<dyn Policy>>);

impl AllOf {
    /// All of these, of which there is at least one; without any, everything is denied.
    #[must_use]
    pub const fn new(policies: Vec<Arc<dyn Policy>>) -> Self {
        Self(policies)
    }
}

#[async_trait]
impl Policy for AllOf {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        let mut all = Decision::deny::<String>([]);
        for policy in &self.0 {
            let decision = policy.evaluate(asked).await?;
            if !decision.allowed {
                return Ok(decision);
            }
            all.allowed = true;
            all.reasons.extend(decision.reasons);
        }
        Ok(all)
    }
}
