//! The suites every backend passes: one check for each promise in a trait's documentation.
//!
//! A check is a function on a fresh harness; it says in words which promise was broken and how. [`run`] runs
//! all of a suite and reports each by name. The tenants [`TENANTS`] exist in every harness.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_context::{conformance::{self, CONTEXT_STORE, ContextHarness}, context::MemoryContextStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let report = conformance::run(CONTEXT_STORE, async || {
//!     let store = MemoryContextStore::default();
//!     let events = store.clone();
//!     let events = move |scope| {
//!         let events = events.events(&scope);
//!         Box::pin(async { Ok(events) }) as _
//!     };
//!     Arc::new(ContextHarness { store: Arc::new(store), events: Box::new(events) })
//! }).await;
//! assert_eq!(report.failures(), None);
//! # }
//! ```

mod contexts;
mod following;
mod memories;
mod races;
mod ranking;
mod vectors;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use mcp_core::{
    Error, ErrorKind, Scope,
    conformance::{Failure, Outcome, Report, ensure, scope_of},
};

pub use contexts::{CONTEXT_STORE, ContextHarness, Events};
pub use memories::{Letters, MEMORY_STORE, MemoryHarness, MemoryLog, MemoryLogs};
pub use vectors::{VECTOR_INDEX, clustered};

/// The tenants that exist in every harness.
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

fn acme() -> Result<Scope, Error> {
    scope_of(TENANTS[0])
}

fn globex() -> Result<Scope, Error> {
    scope_of(TENANTS[1])
}
