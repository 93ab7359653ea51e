//! `cargo xtask lint`: what compilers and tools can say about the source without running it.

mod files;
mod light;
mod manifests;
mod markdown;
mod migrations;
mod trees;

use std::fmt;
use std::path::PathBuf;

use crate::sh::{self, Failure, Package, Result};
use crate::steps::Steps;

/// Runs every lint and prints their times; before that, writes the dependency counts if told to.
///
/// # Errors
/// The first failing step's.
pub(crate) fn run(record: bool) -> Result {
    if record {
        trees::record()?;
    }
    let mut steps = Steps::default();
    all(&mut steps)?;
    steps.report();
    Ok(())
}

/// The lints, cheapest first.
///
/// # Errors
/// The first failing step's.
pub(crate) fn all(steps: &mut Steps) -> Result {
    steps.run("house rules", house_rules)?;
    steps.run("dependency trees", trees::check)?;
    steps.run("formatting", || sh::run(sh::cargo().args(["fmt", "--all", "--check"])))?;
    steps.run("clippy", || clippy(&["--workspace", "--all-targets", "--all-features"]))?;
    steps.run("clippy, lean features", lean_features)?;
    steps.run("documentation", documentation)?;
    steps.run("packages", packages)
}

/// A rule broken at a place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// What no tool checks: lengths, words, links, migrations, and where dependencies are declared.
fn house_rules() -> Result {
    let root = sh::root();
    let files = files::read(&root)?;
    let mut findings = files::check(&files);
    findings.extend(markdown::check(&root, &files));
    findings.extend(markdown::unlisted_decisions(&files));
    findings.extend(manifests::check(&files)?);
    findings.extend(migrations::check(&files));
    println!("{} files read", files.len());
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(Failure::new(format!("{} findings, listed above", findings.len())))
}

/// Every Markdown file of the tree: its path below the root, and its text.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn markdown_files() -> Result<Vec<(PathBuf, String)>> {
    let files = files::read(&sh::root())?;
    Ok(files.into_iter().filter(|file| file.is("md")).map(|file| (file.path, file.text)).collect())
}

fn clippy(selection: &[&str]) -> Result {
    sh::run(sh::cargo().args(["clippy", "--locked"]).args(selection).args(["--", "--deny", "warnings"]))
}

/// Crates with backends must also compile with each backend alone, and with none.
fn lean_features() -> Result {
    for package in sh::metadata()?.packages {
        for features in lean_sets(&package) {
            clippy(&["--package", &package.name, "--no-default-features", "--features", features])?;
        }
    }
    Ok(())
}

/// The feature sets to check apart from all features at once.
fn lean_sets(package: &Package) -> Vec<&'static str> {
    const BACKENDS: [&str; 2] = ["sqlite", "postgres"];
    if BACKENDS.iter().all(|backend| package.features.contains_key(*backend)) {
        std::iter::once("").chain(BACKENDS).collect()
    } else {
        Vec::new()
    }
}

/// The API documentation, in which a link that leads nowhere is an error.
fn documentation() -> Result {
    let mut cargo = sh::cargo();
    cargo.args(["doc", "--locked", "--workspace", "--all-features", "--no-deps", "--document-private-items"]);
    sh::run(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// The libraries as they would be published. The lock file is left out, since writing it would look for our own
/// crates in the registry, where they are not.
fn packages() -> Result {
    let mut cargo = sh::cargo();
    cargo.args(["package", "--quiet", "--locked", "--allow-dirty", "--no-verify", "--exclude-lockfile"]);
    for package in sh::metadata()?.packages.iter().filter(|package| package.is_library()) {
        cargo.args(["--package", &package.name]);
    }
    sh::run(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_with_backends_are_checked_with_each_alone_and_with_none() {
        assert_eq!(
            lean_sets(&Package::named("mcp-core", &["sqlite", "postgres", "sql"])),
            ["", "sqlite", "postgres"]
        );
        assert!(lean_sets(&Package::named("mcp-core", &["sqlite"])).is_empty());
    }

    #[test]
    fn a_finding_reads_like_a_compilers() {
        let finding = Finding { file: "a/b.rs".into(), line: 3, what: "no".to_owned() };
        assert_eq!(finding.to_string(), "a/b.rs:3: no");
    }
}
