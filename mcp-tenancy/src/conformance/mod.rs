//! The suites every backend passes: one check for each promise in a trait's documentation.
//!
//! A check is a function on a fresh store; it says in words which promise was broken and how. [`run`] runs
//! all of a suite and reports each by name.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_tenancy::{conformance::{self, TENANT_STORE}, tenant::{MemoryTenantStore, TenantStore}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let report = conformance::run(TENANT_STORE, async || {
//!     Arc::new(MemoryTenantStore::default()) as Arc<dyn TenantStore>
//! }).await;
//! assert_eq!(report.failures(), None);
//! # }
//! ```

mod api_keys;
mod certificates;
mod issuers;
mod limits;
mod operator_keys;
mod policies;
mod policy;
mod quotas;
mod refresh;
mod revocations;
mod roles;
mod signing_keys;
mod tenants;
mod tenants_life;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use mcp_core::{
    Error, ErrorKind, PlatformScope,
    conformance::{Failure, Outcome, Report, ensure, scope_of},
    scope::{PrincipalId, TenantId},
};

pub use api_keys::KEY_STORE;
pub use certificates::CERTIFICATE_STORE;
pub use issuers::ISSUER_STORE;
pub use limits::RATE_LIMITER;
pub use operator_keys::OPERATOR_KEY_STORE;
pub use policies::POLICY_STORE;
pub use policy::{POLICY, REFERENCE_CEDAR, REFERENCE_REGO, REFERENCE_REGO_V0};
pub use quotas::{QUOTA_NOON, QUOTA_STORE, QUOTA_TENANTS, QuotaHarness};
pub use refresh::REFRESH_STORE;
pub use revocations::{ClockedRevocations, MOST_DENIED, REVOCATION_STORE};
pub use roles::ROLE_STORE;
pub use signing_keys::SIGNING_KEY_STORE;
pub use tenants::TENANT_STORE;

/// The tenants that exist in the database of every store of a tenant's data.
pub const TENANTS: [&str; 2] = ["acme", "globex"];

/// A promise's name and the check that it is kept by the `T` it is given, which nothing else uses.
pub type Check<T> = (&'static str, fn(Arc<T>) -> BoxFuture<'static, Outcome>);

/// Runs every check of `suite`, each on what `fresh` makes for it.
pub async fn run<T: ?Sized>(suite: &[Check<T>], fresh: impl AsyncFn() -> Arc<T>) -> Report {
    let mut report = Report::default();
    for (name, check) in suite {
        report.cases.push((*name, check(fresh().await).await));
    }
    report
}

fn ensure_eq<T: PartialEq + fmt::Debug>(got: T, expected: T, what: &str) -> Outcome {
    ensure(got == expected, format!("{what}: got {got:?}, expected {expected:?}"))
}

fn ensure_error<T: fmt::Debug>(got: Result<T, Error>, kind: ErrorKind, what: &str) -> Result<Error, Failure> {
    match got {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(format!("{what}: got {other:?}, expected {}", kind.as_str()).into()),
    }
}

fn scope() -> Result<PlatformScope, Error> {
    Ok(PlatformScope::new(PrincipalId::parse("conformance")?, "check the promises of a store"))
}

fn tenant_id(text: &str) -> Result<TenantId, Error> {
    TenantId::parse(text)
}
