//! What a crate pulls in: how many crates, as recorded, and none that a lean feature set must not have.

use std::collections::BTreeSet;

use super::{lean_sets, light};
use crate::sh::{self, Context, Failure, Package, Result};

/// Where the counts are recorded, a row a crate and feature set.
const RECORD: &str = "docs/dependency-counts.md";
/// The platform the counts are for; others differ by what wraps their system.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// The crate that is made for the network, and so needs it in every set.
const GATEWAY: &str = "mcp-automation";
/// The feature set that cargo takes when none is named.
const DEFAULT: &str = "default";

/// Compares what each library pulls in with the record.
///
/// # Errors
/// When a count differs, a feature set pulls in what [`light`] forbids it, or cargo fails.
pub(super) fn check() -> Result {
    let (rows, mut problems) = count()?;
    let record = std::fs::read_to_string(sh::root().join(RECORD)).context(format!("reading {RECORD}"))?;
    let recorded: Vec<_> = record.lines().filter(|line| line.starts_with("| `")).collect();
    for row in rows.iter().filter(|row| !recorded.contains(&row.as_str())) {
        problems.push(format!("{RECORD} does not have the row: {row}"));
    }
    for row in recorded.iter().filter(|row| !rows.iter().any(|counted| counted == *row)) {
        problems.push(format!("{RECORD} has a row that is not so: {row}"));
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.push("where that is meant, `cargo xtask lint --record` writes the counts".to_owned());
    Err(Failure::new(problems.join("\n")))
}

/// Writes the counts of now into the record, for a person to look at and commit.
///
/// # Errors
/// When cargo fails or the record cannot be written.
pub(super) fn record() -> Result {
    let (rows, _) = count()?;
    let path = sh::root().join(RECORD);
    let text = std::fs::read_to_string(&path).context(format!("reading {RECORD}"))?;
    let kept = text.lines().filter(|line| !line.starts_with("| `")).map(str::to_owned);
    let text: String = kept.chain(rows).map(|line| line + "\n").collect();
    std::fs::write(&path, text).context(format!("writing {RECORD}"))
}

/// A row for each library and feature set, and what those sets must not have and do.
fn count() -> Result<(Vec<String>, Vec<String>)> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for package in sh::metadata()?.packages.iter().filter(|package| package.is_library()) {
        for features in std::iter::once(DEFAULT).chain(lean_sets(package)) {
            let tree = tree(package, features)?;
            let row = row(&package.name, features, tree.len());
            println!("{row}");
            rows.push(row);
            let with = describe(features);
            let judged_as = if package.name == GATEWAY { DEFAULT } else { features };
            let clauses = light::problems(judged_as, &tree);
            problems.extend(clauses.iter().map(|clause| format!("`{}` with {with} {clause}", package.name)));
        }
    }
    Ok((rows, problems))
}

/// The names and versions of the crates that are linked with one, itself included.
fn tree(package: &Package, features: &str) -> Result<Tree> {
    let mut cargo = sh::cargo();
    cargo.args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}", "--target", PLATFORM]);
    cargo.args(["--package", &package.name]);
    if features != DEFAULT {
        cargo.args(["--no-default-features", "--features", features]);
    }
    Ok(Tree::parse(&sh::output(&mut cargo)?))
}

/// The crates of a tree.
pub(super) struct Tree(BTreeSet<(String, String)>);

impl Tree {
    /// Reads lines such as `name v1.2.3 (proc-macro) (*)`, in which a crate can come up again.
    pub(super) fn parse(text: &str) -> Self {
        let mut crates = BTreeSet::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(version)) = (words.next(), words.next()) {
                crates.insert((name.to_owned(), version.to_owned()));
            }
        }
        Self(crates)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// The names in order; a crate in two versions comes twice.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// A row of the record.
fn row(package: &str, features: &str, count: usize) -> String {
    format!("| `{package}` | {} | {count} |", describe(features))
}

fn describe(features: &str) -> String {
    if features.is_empty() { "no features".to_owned() } else { format!("`{features}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_comes_up_again_counts_once_and_each_version_for_itself() {
        let tree = Tree::parse("a v1.0.0 (/path)\nb v1.0.0\nb v2.0.0 (proc-macro)\nb v1.0.0 (*)\n");
        assert_eq!(tree.len(), 3);
        assert!(tree.names().eq(["a", "b", "b"]));
    }

    #[test]
    fn rows_read_like_the_record() {
        assert_eq!(row("mcp-core", "", 7), "| `mcp-core` | no features | 7 |");
        assert_eq!(row("mcp-core", "sqlite", 8), "| `mcp-core` | `sqlite` | 8 |");
    }
}
