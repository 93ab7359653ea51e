//! What a run's results come to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use crate::sh::{Context, Result};

/// The scored scenarios of one run.
#[derive(Debug, Default)]
pub(super) struct Score {
    pub(super) passed: BTreeSet<String>,
    /// With what the suite says of it.
    pub(super) failed: BTreeMap<String, String>,
}

/// One check of a scenario, as `checks.json` has it.
#[derive(Debug, Deserialize)]
struct Check {
    id: String,
    status: String,
    #[serde(rename = "errorMessage")]
    error_message: Option<String>,
}

impl Score {
    /// Reads the results of `scenarios` below `results`, where each has the directory
    /// `server-SCENARIO-TIMESTAMP`.
    ///
    /// # Errors
    /// A directory or file that cannot be read. A scenario without results is a failed one.
    pub(super) fn read(results: &Path, scenarios: &[String]) -> Result<Self> {
        let mut checks = BTreeMap::new();
        for entry in std::fs::read_dir(results).context(results.display())? {
            let path = entry.context(results.display())?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(scenario_of);
            if let Some(name) = name {
                let file = path.join("checks.json");
                let text = std::fs::read_to_string(&file).context(file.display())?;
                let read: Vec<Check> = serde_json::from_str(&text).context(file.display())?;
                checks.insert(name.to_owned(), read);
            }
        }
        let mut score = Self::default();
        for scenario in scenarios {
            match verdict(checks.get(scenario).map(Vec::as_slice)) {
                Ok(()) => drop(score.passed.insert(scenario.clone())),
                Err(why) => drop(score.failed.insert(scenario.clone(), why)),
            }
        }
        Ok(score)
    }
}

/// The scenario in a name like `server-tools-list-2026-11-21T10-27-05-805Z`.
fn scenario_of(directory: &str) -> Option<&str> {
    const TIMESTAMP: usize = "-2026-11-21T10-27-05-805Z".len();
    let rest = directory.strip_prefix("server-")?;
    rest.get(..rest.len().checked_sub(TIMESTAMP)?)
}

/// Passed means that a check succeeded and none failed.
fn verdict(checks: Option<&[Check]>) -> std::result::Result<(), String> {
    let Some(checks) = checks else { return Err("it left no results".to_owned()) };
    if let Some(bad) = checks.iter().find(|check| check.status == "FAILURE") {
        return Err(format!("{}: {}", bad.id, bad.error_message.as_deref().unwrap_or("no message")));
    }
    match checks.iter().any(|check| check.status == "SUCCESS") {
        true => Ok(()),
        false => Err("no check of it succeeded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str) -> Check {
        Check { id: "c".into(), status: status.into(), error_message: None }
    }

    #[test]
    fn a_skipped_scenario_is_a_failed_one() {
        assert!(verdict(Some(&[check("SUCCESS"), check("WARNING"), check("SKIPPED")])).is_ok());
        assert!(verdict(Some(&[check("SUCCESS"), check("FAILURE")])).is_err());
        assert!(verdict(Some(&[check("SKIPPED")])).is_err());
        assert!(verdict(Some(&[])).is_err());
        assert!(verdict(None).is_err());
    }

    #[test]
    fn results_are_found_by_scenario() {
        let results = tempfile::tempdir().unwrap();
        let directory = results.path().join("server-sep-2164-x-2026-11-21T10-27-05-805Z");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("checks.json"), r#"[{"id":"a","status":"SUCCESS","more":1}]"#).unwrap();
        let scenarios = ["sep-2164-x".to_owned(), "other".to_owned()];
        let score = Score::read(results.path(), &scenarios).unwrap();
        assert!(score.passed.contains("sep-2164-x") && score.failed.contains_key("other"), "{score:?}");
    }
}
