//! Writes a gate that counted for the terminal: the table, the functions that grew, the verdict.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, TableStyle, presets};

use super::figures::{change, line, range, signed};
use crate::base::printable::printable;
use crate::harness::document::count::{Count, CountedMetric};

/// Returns the table of metrics, the functions that grew, the builds, and the verdict.
pub(crate) fn render(document: &Count) -> String {
    let mut text = table(document, presets::UTF8_HORIZONTAL_ONLY);
    text.push_str("\n\n");
    // Writing to a string cannot fail.
    let _ = sentences(&mut text, document);
    printable(&text).into_owned()
}

/// Returns the metrics as a table in this style.
pub(super) fn table(document: &Count, style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style);
    table.set_header([
        "class",
        "per request",
        "base",
        "candidate",
        "change",
        "fails from",
        "verdict",
    ]);
    for metric in &document.metrics {
        table.add_row(row(metric));
    }
    table.to_string()
}

fn row(metric: &CountedMetric) -> Vec<Cell> {
    let mut cells = vec![Cell::new(metric.class), Cell::new(metric.work)];
    let is_counted = metric.not_counted.is_none();
    let change = if is_counted { change(metric) } else { "-".to_owned() };
    let numbers = [range(&metric.base), range(&metric.candidate), change, signed(metric.allowed)];
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    cells.extend(numbers.map(right));
    cells.push(Cell::new(if is_counted { metric.verdict.as_str() } else { "not counted" }));
    cells
}

fn sentences(text: &mut String, document: &Count) -> std::fmt::Result {
    let mut class = None;
    for function in &document.grown {
        if class.replace(function.class) != Some(function.class) {
            writeln!(
                text,
                "{}: instructions of functions that grew, the largest first",
                function.class
            )?;
        }
        writeln!(text, "  {}", line(function))?;
    }
    writeln!(text, "base      {}", document.base)?;
    writeln!(text, "candidate {}", document.candidate)?;
    writeln!(text, "counted   {}", counted(document))?;
    writeln!(text, "host      {}", document.host)?;
    document.notes.iter().try_for_each(|note| writeln!(text, "note      {note}"))?;
    writeln!(text, "verdict   {}: {}", document.verdict.as_str().to_uppercase(), document.sentence)
}

/// Describes how the work was counted.
pub(super) fn counted(document: &Count) -> String {
    let command = document.command.as_ref().map_or(String::new(), |line| format!(" `{line}`"));
    format!("by {}{command}, requests one after the other", document.counter)
}
