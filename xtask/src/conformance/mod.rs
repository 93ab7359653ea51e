//! `cargo xtask conformance`: the MCP conformance suite against our own servers.
//!
//! A scenario counts as passed as in the suite's own tier check: at least one check succeeded and none
//! failed, so that a skipped scenario is a failed one. What fails is either unexpected, or stands with a
//! sentence in `xtask/conformance/expected-SUITE.yaml`; what stands there and passes is unexpected, too.

mod expected;
mod process;
mod programs;
mod score;
mod suite;
mod target;

use std::collections::BTreeMap;

use serde::Serialize;

use expected::Expected;
pub(crate) use programs::Programs;
use score::Score;
use suite::Suite;
use target::Target;

use crate::sh::{Failure, Result};

/// One run of the suite.
struct Run {
    /// What is under test; also names the file of expected failures.
    suite: &'static str,
    /// The revision of the protocol whose requirements must be met.
    requirements: &'static str,
    /// The revision that the fixture speaks.
    upstream: &'static str,
    start: fn(upstream: &str, programs: &Programs, suite: &Suite) -> Result<Target>,
}

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

/// The fixture alone first: what it lacks, no gateway in front of it can have.
const RUNS: &[Run] = &[
    Run { suite: "fixture", requirements: MODERN, upstream: MODERN, start: target::fixture },
    Run { suite: "fixture", requirements: LEGACY, upstream: LEGACY, start: target::fixture },
    Run { suite: "gateway", requirements: MODERN, upstream: MODERN, start: target::gateway },
    Run { suite: "gateway", requirements: LEGACY, upstream: LEGACY, start: target::gateway },
    Run { suite: "gateway", requirements: MODERN, upstream: LEGACY, start: target::gateway },
    Run { suite: "gateway", requirements: LEGACY, upstream: MODERN, start: target::gateway },
];

/// Runs at the same time: the suite waits more than it works.
const AT_ONCE: usize = 3;

/// What a program reads of one run: one JSON object a line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    suite: &'a str,
    requirements: &'a str,
    upstream: &'a str,
    passed: usize,
    failed: usize,
    expected_failures: usize,
}

/// Runs every run and prints a table, or with `json` one object a run on standard output.
///
/// # Errors
/// When something that is needed is missing, a run cannot be made, or its outcome is not the expected one.
pub(crate) fn run(programs: &Programs, json: bool) -> Result {
    let suite = Suite::install()?;
    let mut surprises = Vec::new();
    if !json {
        println!(
            "{:<10} {:<12} {:<12} {:>7} {:>7} {:>9}",
            "suite", "requirements", "upstream", "passed", "failed", "expected"
        );
    }
    for runs in RUNS.chunks(AT_ONCE) {
        for (run, score) in runs.iter().zip(all(runs, programs, &suite)) {
            let (expected, score) = (Expected::read(run.suite)?.of(run.requirements, run.upstream), score?);
            report(run, &score, &expected, json)?;
            surprises.extend(surprises_of(run, &score, &expected));
        }
    }
    if surprises.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("not as expected:\n  {}", surprises.join("\n  "))))
}

fn all(runs: &[Run], programs: &Programs, suite: &Suite) -> Vec<Result<Score>> {
    std::thread::scope(|scope| {
        let started: Vec<_> = runs.iter().map(|run| scope.spawn(move || one(run, programs, suite))).collect();
        let ended = started.into_iter().map(|thread| thread.join());
        ended.map(|score| score.unwrap_or_else(|_| Err(Failure::new("a run panicked")))).collect()
    })
}

fn one(run: &Run, programs: &Programs, suite: &Suite) -> Result<Score> {
    let target = (run.start)(run.upstream, programs, suite)?;
    let results = suite.run(&target.url, run.requirements)?;
    Score::read(results.path(), &suite.requirements(run.requirements)?)
}

fn report(run: &Run, score: &Score, expected: &BTreeMap<String, String>, json: bool) -> Result {
    let Run { suite, requirements, upstream, .. } = *run;
    let (passed, failed) = (score.passed.len(), score.failed.len());
    let expected_failures = score.failed.keys().filter(|name| expected.contains_key(*name)).count();
    if json {
        let line = Line { suite, requirements, upstream, passed, failed, expected_failures };
        let line = serde_json::to_string(&line).map_err(|error| Failure::new(error.to_string()))?;
        println!("{line}");
    } else {
        println!(
            "{suite:<10} {requirements:<12} {upstream:<12} {passed:>7} {failed:>7} {expected_failures:>9}"
        );
    }
    Ok(())
}

/// Each deviation from what is expected, as a line for the person at the terminal.
fn surprises_of(run: &Run, score: &Score, expected: &BTreeMap<String, String>) -> Vec<String> {
    let place = format!("{} for {} before {}", run.suite, run.requirements, run.upstream);
    let failures = score.failed.iter().filter(|(name, _)| !expected.contains_key(*name));
    let failures = failures.map(|(name, why)| format!("{place}: {name} failed: {why}"));
    let listed = expected.keys().filter(|name| !score.failed.contains_key(*name));
    let listed = listed.map(|name| match score.passed.contains(name) {
        true => format!("{place}: {name} passed: strike it from the expected failures"),
        false => format!("{place}: {name} is listed as an expected failure, but is no scored scenario"),
    });
    failures.chain(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = Run { suite: "s", requirements: "r", upstream: "u", start: target::fixture };

    fn score(passed: &[&str], failed: &[&str]) -> Score {
        Score {
            passed: passed.iter().map(ToString::to_string).collect(),
            failed: failed.iter().map(|name| (name.to_string(), "because".to_owned())).collect(),
        }
    }

    fn expected(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| (name.to_string(), "A reason.".to_owned())).collect()
    }

    #[test]
    fn expectations_are_strict_in_both_directions() {
        assert_eq!(surprises_of(&RUN, &score(&["a"], &["b"]), &expected(&["b"])), [""; 0]);
        let surprise = |score: &Score, names: &[&str]| surprises_of(&RUN, score, &expected(names)).join("\n");
        assert!(surprise(&score(&["a"], &["b"]), &[]).contains("b failed: because"));
        assert!(surprise(&score(&["a", "b"], &[]), &["b"]).contains("b passed: strike it"));
        assert!(surprise(&score(&["a"], &[]), &["c"]).contains("c is listed"));
    }
}
