//! The suite itself: npm packages of exact versions, kept below the user's cache directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

use crate::sh::{self, Context, Failure, Result};

/// What to install. The lock file names every package with its hash.
const MANIFEST: &str = include_str!("../../conformance/package.json");
const LOCK: &str = include_str!("../../conformance/package-lock.json");

/// The suite below an installation.
const SUITE: &str = "node_modules/@modelcontextprotocol/conformance";

/// The Node that runs it: the suite needs 22, which a system need not have.
const NODE: &str = "node_modules/node/bin/node";

/// An installed suite.
#[derive(Debug)]
pub(super) struct Suite {
    home: PathBuf,
}

/// What a revision requires, as far as we ask.
#[derive(Debug, Deserialize)]
struct Requirements {
    /// The scored server scenarios.
    server: Vec<String>,
}

impl Suite {
    /// Installs the suite, unless this very version is there already.
    ///
    /// # Errors
    /// When Node or npm is missing, or the packages cannot be had.
    pub(super) fn install() -> Result<Self> {
        let home = cache()?.join("mcp-platform").join("conformance");
        if is_current(&home) {
            return Ok(Self { home });
        }
        let missing: Vec<_> = ["node", "npm"].into_iter().filter(|p| sh::find(p, &[]).is_none()).collect();
        if !missing.is_empty() {
            let missing = missing.join(" and ");
            return Err(Failure::new(format!(
                "the conformance suite is an npm package, and {missing} cannot be found in PATH: \
                 install Node 20 or later with npm"
            )));
        }
        // Beside its place, then renamed: what is there is always whole.
        let parent = home.parent().unwrap_or(&home);
        fs::create_dir_all(parent).context(parent.display())?;
        let draft = tempfile::tempdir_in(parent).context(parent.display())?;
        fs::write(draft.path().join("package.json"), MANIFEST).context(draft.path().display())?;
        fs::write(draft.path().join("package-lock.json"), LOCK).context(draft.path().display())?;
        eprintln!("installing the conformance suite into {}", home.display());
        npm_ci(draft.path())?;
        if home.exists() {
            fs::remove_dir_all(&home).context(home.display())?;
        }
        fs::rename(draft.keep(), &home).context(home.display())?;
        Ok(Self { home })
    }

    /// The Node that the suite runs on.
    pub(super) fn node(&self) -> PathBuf {
        self.home.join(NODE)
    }

    /// Runs the server scenarios of a revision against `url`; the results are in the directory returned.
    ///
    /// # Errors
    /// When the suite does not run. Failing scenarios are no error here.
    pub(super) fn run(&self, url: &str, requirements: &str) -> Result<TempDir> {
        let results = tempfile::tempdir().context("a temporary directory")?;
        let log = results.path().join("suite.log");
        let out = File::create(&log).context(log.display())?;
        let err = out.try_clone().context(log.display())?;
        let status = Command::new(self.node())
            .arg(self.home.join(SUITE).join("dist/index.js"))
            .args(["server", "--url", url, "--requirements", requirements, "--output-dir"])
            .arg(results.path())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .context("starting the conformance suite")?;
        // It exits with 1 for failing scenarios, too: only what it wrote tells them from a broken run.
        let said = fs::read_to_string(&log).context(log.display())?;
        if said.contains("=== SUMMARY ===") {
            return Ok(results);
        }
        let end: Vec<_> = said.lines().rev().take(20).collect();
        let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
        Err(Failure::new(format!("the conformance suite did not finish ({status}):\n{end}")))
    }

    /// The scenarios that a revision requires of a server.
    ///
    /// # Errors
    /// When the suite does not know the revision.
    pub(super) fn requirements(&self, revision: &str) -> Result<Vec<String>> {
        let path = self.home.join(SUITE).join(format!("requirements/{revision}.yaml"));
        let text = fs::read_to_string(&path).context(path.display())?;
        let required: Requirements = serde_saphyr::from_str(&text).context(path.display())?;
        Ok(required.server)
    }
}

fn is_current(home: &Path) -> bool {
    let same = |name, wanted: &str| fs::read_to_string(home.join(name)).is_ok_and(|text| text == wanted);
    same("package.json", MANIFEST) && same("package-lock.json", LOCK) && home.join(NODE).is_file()
}

/// Installs exactly what the lock file says; npm's output is shown where it fails.
fn npm_ci(directory: &Path) -> Result {
    let done = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .context("starting npm")?;
    if done.status.success() && directory.join(NODE).is_file() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Failure::new(format!("`npm ci` of the conformance suite failed ({}):\n{}", done.status, said.trim())))
}

/// The user's cache directory.
fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).ok_or_else(|| {
        Failure::new("neither XDG_CACHE_HOME nor HOME is set: no place for the conformance suite")
    })
}
