//! The failures we know of, each with the sentence that says why.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::sh::{self, Context, Failure, Result};

/// By requirements, then by what the upstream speaks: scenario and sentence.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Expected(BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>);

impl Expected {
    /// Reads the file of one suite; a suite without a file has no expected failures.
    ///
    /// # Errors
    /// A file that cannot be read, or an entry without its sentence.
    pub(super) fn read(suite: &str) -> Result<Self> {
        let path = sh::root().join(format!("xtask/conformance/expected-{suite}.yaml"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(path.display()),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let expected: Self = serde_saphyr::from_str(text).context(path.display())?;
        for (scenario, sentence) in expected.0.values().flat_map(BTreeMap::values).flatten() {
            if !sentence.trim_end().ends_with('.') {
                let message =
                    format!("{}: {scenario} needs a sentence that says why it fails", path.display());
                return Err(Failure::new(message));
            }
        }
        Ok(expected)
    }

    /// The expected failures of one run.
    pub(super) fn of(mut self, requirements: &str, upstream: &str) -> BTreeMap<String, String> {
        self.0.get_mut(requirements).and_then(|runs| runs.remove(upstream)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_expected_failure_has_its_sentence() {
        let parse = |text| Expected::parse(Path::new("expected-x.yaml"), text);
        let good = "\"2026-07-28\":\n  \"2025-11-25\":\n    ping: There is no ping any more.\n";
        let listed = parse(good).unwrap().of("2026-07-28", "2025-11-25");
        assert_eq!(listed.keys().collect::<Vec<_>>(), ["ping"]);
        assert!(parse(good).unwrap().of("2026-07-28", "2026-07-28").is_empty());

        for bad in ["a:\n  b:\n    ping: todo\n", "a:\n  b:\n    ping: \"\"\n", "a:\n  - ping\n"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains("expected-x.yaml"), "{error}");
        }
    }
}
