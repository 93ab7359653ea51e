//! Where dependencies are declared: versions in the root alone, each with its reason, crates in their layers.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::Finding;
use super::files::File;
use crate::sh::{Context, Failure, Result};

/// The document that says why each dependency is there.
const REASONS: &str = "docs/adr/0003-dependencies.md";
/// The crates that build on the core alone, never on each other.
const LAYER: [&str; 4] = ["mcp-tenancy", "mcp-context", "mcp-inference", "mcp-automation"];
/// The tables of a manifest that name dependencies.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks every manifest of the tree.
///
/// # Errors
/// When a manifest is no TOML, or the root's or the reasons are missing.
pub(super) fn check(files: &[File]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    let mut declared = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let manifest: Table = file.text.parse().context(format!("reading {}", file.path.display()))?;
        if file.path == Path::new("Cargo.toml") {
            declared = external(&manifest);
            continue;
        }
        // A workspace of its own inherits nothing, and is nobody's dependency.
        if manifest.contains_key("workspace") {
            continue;
        }
        findings.extend(member(file, &manifest));
        for (_, name, _) in dependencies(&manifest) {
            used.insert(name.to_owned());
        }
    }
    let reasons = files.iter().find(|file| file.path == Path::new(REASONS));
    let reasons = reasons.ok_or_else(|| Failure::new(format!("{REASONS} is missing")))?;
    let explained = explained(&reasons.text);
    let missing = |what: String| Finding { file: REASONS.into(), line: 1, what };
    findings.extend(declared.difference(&explained).map(|name| missing(format!("no reason for `{name}`"))));
    findings
        .extend(explained.difference(&declared).map(|name| missing(format!("`{name}` is no dependency"))));
    findings.extend(declared.difference(&used).map(|name| Finding {
        file: "Cargo.toml".into(),
        line: line_of(files, name),
        what: format!("no member uses `{name}`"),
    }));
    Ok(findings)
}

/// A member's manifest: everything inherited, and nothing from beside its layer.
fn member(file: &File, manifest: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding { file: file.path.clone(), line: 1, what });
    let package = manifest.get("package").and_then(Value::as_table);
    for field in ["version", "edition", "rust-version", "license", "authors", "publish"] {
        if !package.and_then(|package| package.get(field)).is_some_and(inherited) {
            find(format!("`{field}` is not inherited: write `{field}.workspace = true`"));
        }
    }
    if !manifest.get("lints").is_some_and(inherited) {
        find("the lints are not inherited: write `[lints] workspace = true`".to_owned());
    }
    let name = package.and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or_default();
    for (table, dependency, value) in dependencies(manifest) {
        if !inherited(value) {
            find(format!("`{dependency}` has a version of its own: declare it in the root and inherit it"));
        }
        if LAYER.contains(&name) && LAYER.contains(&dependency) && table != "dev-dependencies" {
            find(format!("`{name}` builds on `{dependency}`: share a port in mcp-core instead"));
        }
    }
    findings
}

/// Each dependency with the table it is in, platform-specific ones included.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&'static str, &str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let places = std::iter::once(manifest).chain(targets.filter_map(Value::as_table));
    places.flat_map(|place| {
        TABLES.into_iter().flat_map(move |table| {
            let entries = place.get(table).and_then(Value::as_table).into_iter().flatten();
            entries.map(move |(name, value)| (table, name.as_str(), value))
        })
    })
}

/// Whether a value says `workspace = true`.
fn inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// The workspace's dependencies that are not its own members.
fn external(root: &Table) -> BTreeSet<String> {
    let declared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let declared = declared.and_then(Value::as_table).into_iter().flatten();
    declared.filter(|(_, value)| value.get("path").is_none()).map(|(name, _)| name.clone()).collect()
}

/// The names in the first column of the document's tables: rows that begin with a code span.
fn explained(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

/// Where the root's manifest declares a dependency.
fn line_of(files: &[File], name: &str) -> usize {
    let root = files.iter().find(|file| file.path == Path::new("Cargo.toml"));
    let declares = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" ="));
    root.and_then(|root| root.text.lines().position(declares)).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "package = { version = { workspace = true }, edition = { workspace = true }, rust-version = { \
        workspace = true }, license = { workspace = true }, authors = { workspace = true }, publish = { workspace = \
        true }, name = \"mcp-tenancy\" }\nlints.workspace = true\n";

    fn findings(text: &str) -> Vec<String> {
        let text = format!("{HEAD}{text}");
        let file = File { path: "mcp-tenancy/Cargo.toml".into(), text: text.clone() };
        member(&file, &text.parse().unwrap()).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_is_inherited_is_fine() {
        assert!(findings("[dependencies]\nmcp-core.workspace = true\n").is_empty());
    }

    #[test]
    fn a_version_of_its_own_is_found_wherever_it_stands() {
        for table in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let found = findings(&format!("[{table}]\nserde = \"1\"\n"));
            assert_eq!(found.len(), 1, "{table}: {found:?}");
        }
    }

    #[test]
    fn layers_do_not_build_on_each_other() {
        let found = findings("[dependencies]\nmcp-automation.workspace = true\n");
        assert!(found[0].contains("port in mcp-core"), "{found:?}");
        assert!(findings("[dev-dependencies]\nmcp-automation.workspace = true\n").is_empty());
    }

    #[test]
    fn dependencies_and_reasons_must_agree() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.to_owned() };
        let found = check(&[
            file(
                "Cargo.toml",
                "[workspace.dependencies]\nours = { path = \"ours\" }\na = \"1\"\nb = \"1\"\n",
            ),
            file("mcp-tenancy/Cargo.toml", &format!("{HEAD}[dependencies]\na.workspace = true\n")),
            file(REASONS, "| `a` | reason |\n| `gone` | reason |\n"),
        ])
        .unwrap();
        let found: Vec<_> = found.into_iter().map(|finding| (finding.line, finding.what)).collect();
        let expected = [(1, "no reason for `b`"), (1, "`gone` is no dependency"), (4, "no member uses `b`")];
        assert_eq!(found, expected.map(|(line, what)| (line, what.to_owned())));
    }
}
