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
//! assert!(report.broken().is_empty(), "{report}");
//! # }
//! ```

mod api_keys;
mod limits;
mod signing_keys;
mod tenants;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use mcp_core::{
    Error, ErrorKind, PlatformScope,
    scope::{PrincipalId, TenantId},
};

pub use api_keys::KEY_STORE;
pub use limits::RATE_LIMITER;
pub use signing_keys::SIGNING_KEY_STORE;
pub use tenants::TENANT_STORE;

/// A promise's name and the check that it is kept by the `T` it is given, which nothing else uses.
pub type Check<T> = (&'static str, fn(Arc<T>) -> BoxFuture<'static, Result<(), Broken>>);

/// How a promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(format!("an unexpected error: {}", error.report()))
    }
}

/// What became of each check of a suite.
#[derive(Debug)]
pub struct Report(Vec<(&'static str, Result<(), Broken>)>);

impl Report {
    /// The names of the promises that were broken.
    #[must_use]
    pub fn broken(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, result)| result.is_err()).map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, result)| match result {
            Ok(()) => writeln!(f, "{name}: kept"),
            Err(broken) => writeln!(f, "{name}: BROKEN: {broken}"),
        })
    }
}

/// Runs every check of `suite`, each on what `fresh` makes for it.
pub async fn run<T: ?Sized>(suite: &[Check<T>], fresh: impl AsyncFn() -> Arc<T>) -> Report {
    let mut results = Vec::with_capacity(suite.len());
    for (name, check) in suite {
        results.push((*name, check(fresh().await).await));
    }
    Report(results)
}

fn ensure(kept: bool, how_broken: impl FnOnce() -> String) -> Result<(), Broken> {
    if kept { Ok(()) } else { Err(Broken(how_broken())) }
}

fn ensure_eq<T: PartialEq + fmt::Debug>(got: T, expected: T, what: &str) -> Result<(), Broken> {
    ensure(got == expected, || format!("{what}: got {got:?}, expected {expected:?}"))
}

fn ensure_error<T: fmt::Debug>(got: Result<T, Error>, kind: ErrorKind, what: &str) -> Result<Error, Broken> {
    match got {
        Err(error) if error.kind() == kind => Ok(error),
        other => Err(Broken(format!("{what}: got {other:?}, expected {}", kind.as_str()))),
    }
}

fn scope() -> Result<PlatformScope, Error> {
    Ok(PlatformScope::new(PrincipalId::parse("conformance")?, "check the promises of a store"))
}

fn tenant_id(text: &str) -> Result<TenantId, Error> {
    TenantId::parse(text)
}
