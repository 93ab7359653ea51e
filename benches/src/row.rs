//! One figure, in the form programs read and in the form people read.

use std::io::{self, Write};

use serde::Serialize;

/// A figure of ours beside the reference's.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) bench: &'static str,
    pub(crate) case: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) reference: f64,
    /// Ours to the reference; above 1 is better for us.
    pub(crate) ratio: f64,
}

impl Row {
    /// A figure of which more is better.
    pub(crate) fn more(
        bench: &'static str,
        case: String,
        unit: &'static str,
        value: f64,
        reference: f64,
    ) -> Self {
        Self { bench, case, value, unit, reference, ratio: value / reference }
    }

    /// A figure of which less is better.
    pub(crate) fn less(
        bench: &'static str,
        case: String,
        unit: &'static str,
        value: f64,
        reference: f64,
    ) -> Self {
        Self { bench, case, value, unit, reference, ratio: reference / value }
    }
}

/// Prints to standard output: one JSON object a line, or a table.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn print(rows: &[Row], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !json {
        writeln!(out, "{:<44} {:>12} {:>12} {:<9} {:>7}", "case", "ours", "reference", "unit", "ratio")?;
    }
    for row in rows {
        if json {
            serde_json::to_writer(&mut out, row)?;
            writeln!(out)?;
        } else {
            let case = format!("{} {}", row.bench, row.case);
            writeln!(
                out,
                "{case:<44} {:>12.3} {:>12.3} {:<9} {:>7.2}",
                row.value, row.reference, row.unit, row.ratio
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_one_is_better_for_us() {
        assert!((Row::more("b", "rps".into(), "1/s", 90.0, 100.0).ratio - 0.9).abs() < 1e-9);
        assert!((Row::less("b", "cpu".into(), "s", 2.0, 1.0).ratio - 0.5).abs() < 1e-9);
    }
}
