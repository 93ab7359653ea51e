//! Links between documents: each leads to something in the tree.

use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::files::File;

/// Checks every relative link of every Markdown file.
pub(super) fn check(root: &Path, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is("md")) {
        for (line, link) in links(&file.text) {
            let Some(target) = resolve(&file.path, link) else {
                let what = format!("the link `{link}` leaves the tree");
                findings.push(Finding { file: file.path.clone(), line, what });
                continue;
            };
            if !root.join(target).exists() {
                let what = format!("the link `{link}` leads nowhere");
                findings.push(Finding { file: file.path.clone(), line, what });
            }
        }
    }
    findings
}

/// The index of the decisions.
const INDEX: &str = "docs/README.md";

/// Every record of a decision that the index does not link.
pub(super) fn unlisted_decisions(files: &[File]) -> Vec<Finding> {
    let index = files.iter().find(|file| file.path == Path::new(INDEX));
    let listed: Vec<_> = index
        .map(|file| links(&file.text).into_iter().filter_map(|(_, link)| resolve(&file.path, link)).collect())
        .unwrap_or_default();
    let decisions = files.iter().filter(|file| file.path.starts_with("docs/adr"));
    decisions
        .filter(|file| !listed.contains(&file.path))
        .map(|file| Finding {
            file: INDEX.into(),
            line: 1,
            what: format!("{} is not listed", file.path.display()),
        })
        .collect()
}

/// The relative links outside code blocks, each with its line and without its fragment.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        for part in line.split("](").skip(1) {
            let link = part.split(')').next().unwrap_or_default().split('#').next().unwrap_or_default();
            if !link.is_empty() && !link.contains(':') {
                found.push((number + 1, link));
            }
        }
    }
    found
}

/// The path below the root that a link in a file means, unless it leaves the tree.
fn resolve(file: &Path, link: &str) -> Option<PathBuf> {
    let mut path = file.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(link).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_outside_code_count() {
        let text = "[a](b.md#part) and [web](https://x.org) [here](#part)\n```\n[c](d.md)\n```\n![p](e.svg)";
        assert_eq!(links(text), [(1, "b.md"), (5, "e.svg")]);
    }

    #[test]
    fn a_decision_that_is_not_listed_is_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.to_owned() };
        let files =
            [file("docs/README.md", "[1](adr/1.md)"), file("docs/adr/1.md", ""), file("docs/adr/2.md", "")];
        assert_eq!(unlisted_decisions(&files)[0].what, "docs/adr/2.md is not listed");
        assert!(unlisted_decisions(&files[..2]).is_empty());
    }

    #[test]
    fn links_resolve_from_their_file() {
        assert_eq!(resolve(Path::new("docs/adr/a.md"), "../b.md"), Some("docs/b.md".into()));
        assert_eq!(resolve(Path::new("a.md"), "../b.md"), None);
        assert_eq!(resolve(Path::new("a.md"), "/etc/passwd"), None);
    }

    #[test]
    fn a_dead_link_is_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("there.md"), "").unwrap();
        let files = [File { path: "a.md".into(), text: "[x](there.md) [y](gone.md)".to_owned() }];
        let found = check(root.path(), &files);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("gone.md"), "{found:?}");
    }
}
