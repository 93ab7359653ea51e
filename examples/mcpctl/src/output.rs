//! What commands print: tables for people, JSON for programs.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::failure::Failure;

/// A column: its heading, and where its cells are in an entry, as in `limits.requests_per_minute`.
pub(crate) type Column = (&'static str, &'static str);

/// Prints an entry or a list of them.
pub(crate) fn show(value: &Value, columns: &[Column], json: bool) {
    if json {
        return document(value);
    }
    let one = std::slice::from_ref(value);
    text(&table(value.as_array().map_or(one, Vec::as_slice), columns));
}

/// Prints a JSON document and a line feed.
pub(crate) fn document(value: &Value) {
    text(&format!("{value:#}\n"));
}

/// Writes `text` to standard output. A closed pipe (`| head`) is the reader's choice, not an error.
pub(crate) fn text(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a remark for people to standard error, where it does not mix with what a program reads.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes what went wrong to standard error.
pub(crate) fn complain(failure: &Failure) {
    let _ = writeln!(std::io::stderr(), "mcpctl: {}", printable(&failure.to_string()));
}

/// How far long work is, on standard error: one line that changes on a terminal, else a line for each phase.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    phase: String,
    open: bool,
}

impl Progress {
    pub(crate) fn show(&mut self, phase: &str, amount: &str) {
        let mut to = std::io::stderr();
        let phase = printable(phase);
        if to.is_terminal() {
            let _ = write!(to, "\r\u{1b}[2K{phase} {amount}").and_then(|()| to.flush());
            self.open = true;
        } else if self.phase != phase {
            let _ = writeln!(to, "{phase}");
        }
        self.phase = phase;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.open {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }
}

/// Control characters in what others wrote must not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '�' } else { c }).collect()
}

/// Rows under a heading, columns aligned.
fn table(entries: &[Value], columns: &[Column]) -> String {
    let heading = columns.iter().map(|(heading, _)| heading.to_uppercase()).collect();
    let row = |entry: &Value| columns.iter().map(|(_, path)| cell(entry, path)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(entries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(entry: &Value, path: &str) -> String {
    let value = path.split('.').try_fold(entry, |value, key| value.get(key)).unwrap_or(&Value::Null);
    let plain = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    match value {
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_controls_are_shown() {
        let entries = [
            json!({ "id": "acme", "limits": { "rpm": 600 }, "features": ["a", "b"] }),
            json!({ "id": "b\u{1b}[31m" }),
        ];
        let columns = [("tenant", "id"), ("requests/min", "limits.rpm"), ("features", "features")];
        let expected = "TENANT  REQUESTS/MIN  FEATURES\nacme    600           a b\nb�[31m  -             -\n";
        assert_eq!(table(&entries, &columns), expected);
    }
}
