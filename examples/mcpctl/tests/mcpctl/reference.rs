//! The reference in the documentation is what the binary says of itself.

use crate::support::bare;

const REFERENCE: &str = include_str!("../../../../docs/guide/mcpctl.md");

/// The help of a command and of all commands below it, as sections of Markdown.
fn sections(path: &[String]) -> String {
    let done = bare().args(path).arg("--help").output().unwrap();
    assert!(done.status.success(), "{path:?}");
    let help = String::from_utf8(done.stdout).unwrap();
    let name = [&["mcpctl".to_owned()], path].concat().join(" ");
    let mut text = format!("## `{name}`\n\n```text\n{}\n```\n\n", help.trim_end());
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in commands.take_while(|line| !line.is_empty()) {
        let word = line.split_whitespace().next().unwrap_or_default();
        // Longer descriptions continue on lines of their own, further in.
        if line.starts_with("  ") && !line.starts_with("   ") && word != "help" {
            text += &sections(&[path, &[word.to_owned()]].concat());
        }
    }
    text
}

#[test]
fn the_reference_is_the_help() {
    let expected = sections(&[]);
    let written = REFERENCE.split_once("<!-- reference -->\n\n").map_or("", |(_, rest)| rest);
    if written.trim_end() != expected.trim_end() {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference.md");
        std::fs::write(&file, expected).unwrap();
        panic!("put {} behind the mark in docs/guide/mcpctl.md", file.display());
    }
}
