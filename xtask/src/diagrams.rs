//! The Mermaid diagrams of the documentation, read by Mermaid itself: one that would not be drawn is found here.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::lint;
use crate::sh::{self, Context, Failure, Result};

/// Reads a JSON array of [`Diagram`] from the file it is given, and names each that Mermaid refuses.
const READER: &str = include_str!("diagrams.mjs");

/// One diagram and where it stands.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Diagram {
    /// `docs/c4/context.md:12`, the line of its opening fence.
    place: String,
    text: String,
}

/// Has Mermaid, installed in `tools`, parse every diagram of the tree.
///
/// # Errors
/// When a diagram is refused, or there is none at all.
pub(crate) fn check(tools: &Path) -> Result {
    let mut diagrams = Vec::new();
    for (path, text) in lint::markdown_files()? {
        diagrams.extend(of(&path.display().to_string(), &text));
    }
    if diagrams.is_empty() {
        return Err(Failure::new("no diagram was found in any Markdown file"));
    }
    let home = tools.join("mermaid");
    let (reader, list) = (home.join("diagrams.mjs"), home.join("diagrams.json"));
    std::fs::write(&reader, READER).context(format!("writing {}", reader.display()))?;
    let json = serde_json::to_vec(&diagrams).context("writing the diagrams as JSON")?;
    std::fs::write(&list, json).context(format!("writing {}", list.display()))?;
    let node =
        sh::find("node", &[]).ok_or_else(|| Failure::new("the diagrams are read by `node`: install it"))?;
    sh::run(Command::new(node).arg(&reader).arg(&list))
}

/// The `mermaid` blocks of one Markdown text.
fn of(path: &str, text: &str) -> Vec<Diagram> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```mermaid" {
            let body: Vec<_> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            found.push(Diagram { place: format!("{path}:{}", number + 1), text: body.join("\n") });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mermaid_blocks_are_diagrams() {
        let text = "# t\n```sh\nls\n```\n```mermaid\nflowchart TD\n a-->b\n```\nend\n";
        let diagram = Diagram { place: "a.md:5".to_owned(), text: "flowchart TD\n a-->b".to_owned() };
        assert_eq!(of("a.md", text), [diagram]);
    }
}
