//! The tower layers that apply all this. They need only `tower` and `http`, and are generic over bodies.
//!
//! Outermost first: [`AuthenticateLayer`], [`TenantLayer`], [`RateLimitLayer`],
//! [`TenantConcurrencyLayer`] and, where the request tells what it is for, [`AuthorizeLayer`]; all of them
//! inside the rescue layer of `mcp_core::layer`, which turns their errors into responses. For what works
//! above tenants: [`AuthenticateOperatorLayer`], then [`OperatorRateLimitLayer`].

#[cfg(feature = "http-api")]
mod admission;
mod authenticate;
mod authorize;
mod denial;
mod operator;
mod operator_rate_limit;
mod rate_limit;
mod stream_guard;
mod tenant;
mod tenant_concurrency;

#[cfg(feature = "http-api")]
pub(crate) use admission::Admission;
pub use authenticate::{Authenticate, AuthenticateLayer};
pub use authorize::{AccessOf, Authorize, AuthorizeLayer, endpoint};
pub use operator::{AuthenticateOperator, AuthenticateOperatorLayer};
pub use operator_rate_limit::{OperatorRateLimit, OperatorRateLimitLayer};
pub use rate_limit::{RateLimit, RateLimitLayer};
pub use stream_guard::StreamGuard;
pub use tenant::{ResolveTenant, TenantLayer, require_own_tenant};
pub use tenant_concurrency::{InFlightPermit, TenantConcurrency, TenantConcurrencyLayer};

/// Takes the service that was found ready and leaves a fresh one for the next `poll_ready`.
fn take_ready<S: Clone>(service: &mut S) -> S {
    let fresh = service.clone();
    std::mem::replace(service, fresh)
}
