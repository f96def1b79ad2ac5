//! Where output goes: data to stdout, as a table or as one line of JSON. Nothing else may write to stdout.

use crate::args::OutputFormat;
use crate::error::CliError;
use serde::Serialize;
use std::io::Write as _;

/// Writes data to stdout.
pub(crate) fn data(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::Output)
}

/// Writes `value` as one line of JSON, or as the text that `table` draws.
pub(crate) fn show<T: Serialize>(
    format: OutputFormat,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), CliError> {
    match format {
        OutputFormat::Table => data(&table(value)),
        OutputFormat::Json => {
            let mut line = serde_json::to_string(value)
                .expect("our results have text keys and finite numbers, which JSON can hold");
            line.push('\n');
            data(&line)
        }
    }
}

/// Says something to the person at the terminal.
pub(crate) fn note(text: &str) {
    // Notes are a courtesy: a closed stderr must not stop the work.
    let _nobody_listens = writeln!(std::io::stderr(), "{text}");
}

/// Left-aligned columns under a head, each as wide as its widest cell.
pub(crate) fn table<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let mut widths = [0; COLUMNS];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let text =
            table(["NAME", "EPOCH"], [["a-long-name".into(), "7".into()], ["b".into(), String::new()]]);
        assert_eq!(text, "NAME         EPOCH\na-long-name  7\nb\n");
    }
}
