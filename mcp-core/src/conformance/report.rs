//! What a case answers with.

use std::{fmt, future::Future, time::Duration};

/// What did not hold.
#[derive(Debug)]
pub struct Failure(String);

/// How a case ended.
pub type Outcome = Result<(), Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self(error.report())
    }
}

/// Fails with `what` unless `holds`.
///
/// # Errors
/// The failure.
pub fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(Failure(what.into())) }
}

/// Awaits what a background task is about to make true; fails with `what` after ten seconds.
///
/// # Errors
/// The failure, or the question's own error.
pub async fn eventually<F, Fut>(what: &str, mut question: F) -> Outcome
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<bool, Failure>>,
{
    let asked = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if question().await? {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap_or_else(|_| Err(Failure(what.to_owned())))
}

/// The outcomes of one run of a suite.
#[derive(Debug, Default)]
pub struct Report {
    /// The name of each case with its outcome, in the order they ran.
    pub cases: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// The cases that failed, a line each; `None` if all passed.
    #[must_use]
    pub fn failures(&self) -> Option<String> {
        let lines: Vec<_> = self
            .cases
            .iter()
            .filter_map(|(name, outcome)| outcome.as_ref().err().map(|failure| format!("{name}: {failure}")))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// Whether the case of that name failed.
    #[must_use]
    pub fn failed(&self, name: &str) -> bool {
        self.cases.iter().any(|(case, outcome)| *case == name && outcome.is_err())
    }
}
