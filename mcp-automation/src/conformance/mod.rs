//! The suites every backend passes: one check for each promise in a trait's documentation.
//!
//! A check is a function on a fresh store; it says in words which promise was broken and how. [`run`] runs
//! all of a suite and reports each by name.

mod releases;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use mcp_core::{
    Error, ErrorKind,
    conformance::{Failure, Outcome, Report, ensure},
};

pub use releases::RELEASE_STORE;

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
