//! The tree's text files, how long they may be and which words they may not hold.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::sh::{Context, Result};

/// A Rust file longer than this holds more than one concept.
const MOST_LINES: usize = 600;
/// Which files are read.
const TEXT: [&str; 10] = ["rs", "toml", "md", "sh", "py", "js", "json", "sql", "yml", "yaml"];
/// What is not ours to check.
const SKIPPED: [&str; 5] = ["target", "node_modules", "__pycache__", "Cargo.lock", "package-lock.json"];

/// A text file of the tree.
#[derive(Debug)]
pub(super) struct File {
    /// Its path below the root.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: String,
}

impl File {
    /// Whether it has this extension.
    pub(super) fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }
}

/// Reads every text file below the root.
///
/// # Errors
/// When a directory or file cannot be read, or a file is not UTF-8.
pub(super) fn read(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).context(format!("reading {}", directory.display()))? {
            let entry = entry.context(format!("reading {}", directory.display()))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str())
                || (name.starts_with('.') && name != ".ci" && name != ".cargo")
            {
                continue;
            }
            let kind = entry.file_type().context(format!("looking at {}", path.display()))?;
            let is_text = path.extension().is_none_or(|extension| TEXT.iter().any(|text| extension == *text));
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() && is_text {
                let text = std::fs::read_to_string(&path).context(format!("reading {}", path.display()))?;
                files.push(File { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Checks lengths and words.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files.iter().flat_map(|file| too_long(file).into_iter().chain(words(file))).collect()
}

fn too_long(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    (file.is("rs") && lines > MOST_LINES).then(|| Finding {
        file: file.path.clone(),
        line: lines,
        what: format!("{lines} lines; split files of more than {MOST_LINES} by concept"),
    })
}

/// Words for what is not done, and paths of one machine or from outside the tree.
fn words(file: &File) -> Vec<Finding> {
    // Written in halves, so that this file does not find itself.
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];
    let outside = [concat!("../sha", "red/"), concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut findings = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let mut find = |what: String| {
            findings.push(Finding { file: file.path.clone(), line: number + 1, what });
        };
        for word in line.split(|letter: char| !letter.is_alphanumeric()) {
            if unfinished.contains(&word) {
                find(format!("`{word}`: finish it or leave it out"));
            }
        }
        for path in outside.iter().filter(|path| line.contains(**path)) {
            find(format!("`{path}`: the tree stands alone and knows no machine"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File { path: name.into(), text: text.to_owned() }
    }

    #[test]
    fn only_long_rust_files_are_too_long() {
        let long = "x\n".repeat(MOST_LINES + 1);
        assert!(too_long(&file("a.rs", &long)).is_some());
        assert!(too_long(&file("a.md", &long)).is_none());
        assert!(too_long(&file("a.rs", &"x\n".repeat(MOST_LINES))).is_none());
    }

    #[test]
    fn unfinished_work_is_found_by_whole_words() {
        let word = concat!("TO", "DO");
        let found = words(&file("a.rs", &format!("fine\n// {word}: later\n{word}S are fine")));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn paths_outside_the_tree_are_found() {
        assert_eq!(words(&file("a.md", concat!("see ../sha", "red/x"))).len(), 1);
        assert!(words(&file("a.md", "see ../docs/x")).is_empty());
    }

    #[test]
    fn build_output_and_hidden_directories_are_not_read() {
        let root = tempfile::tempdir().unwrap();
        for name in ["target/a.rs", ".git/b.rs", ".ci/run", "src/c.rs", "src/picture.png"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        let found: Vec<_> = read(root.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(found, [PathBuf::from(".ci/run"), PathBuf::from("src/c.rs")]);
    }
}
