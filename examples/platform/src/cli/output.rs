//! What commands print: tables for people, JSON for programs.

use std::io::Write as _;

use mcp_core::{Error, Result, clock::Timestamp};
use serde::Serialize;

/// Writes `text` to standard output. A closed pipe (`| head`) is the reader's choice, not an error.
pub(crate) fn text(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes one JSON document and a line feed.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let document = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("cli.json", "the answer cannot be written").with_source(error))?;
    text(&document);
    text("\n");
    Ok(())
}

/// Writes a remark for people to standard error, where it does not mix with what a program reads.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes what went wrong to standard error, causes included: whoever sits here is the operator.
pub(crate) fn complain(error: &Error) {
    let _ = writeln!(std::io::stderr(), "mcp-platform: {}", error.report());
}

/// A time that may never come, as a cell.
pub(crate) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

/// Rows under a heading, columns aligned.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| cell.to_uppercase()).collect()] }
    }

    pub(crate) fn row<I>(&mut self, cells: I)
    where
        I: IntoIterator,
        I::Item: ToString,
    {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell.to_string())).collect());
    }

    pub(crate) fn print(&self) {
        text(&self.render());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Control characters in stored text must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '�' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_controls_are_shown() {
        let mut table = Table::new(&["id", "name"]);
        table.row(["acme", "Acme \u{1b}[31mCorp"]);
        table.row(["b", "B"]);
        assert_eq!(table.render(), "ID    NAME\nacme  Acme �[31mCorp\nb     B\n");
    }
}
