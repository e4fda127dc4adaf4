//! Writes a gate that counted for the terminal: the table, the functions that grew, the verdict.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, TableStyle, presets};

use super::document::line;
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
    let numbers = [
        range(&metric.base),
        range(&metric.candidate),
        change(metric),
        signed(metric.allowed),
    ];
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    cells.extend(numbers.map(right));
    cells.push(Cell::new(metric.verdict.as_str()));
    cells
}

/// Formats the counts of one build: one number, or two if they differ.
fn range(counts: &[f64]) -> String {
    let least = counts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = counts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, most) = (number(least), number(most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// Formats the change of a metric with its share of the base.
pub(super) fn change(metric: &CountedMetric) -> String {
    let absolute = signed(metric.change);
    let base = mean(&metric.base);
    if base > 0.0 && absolute != "0" {
        format!("{absolute} ({:+.2} %)", metric.change / base * 100.0)
    } else {
        absolute
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of counts")]
fn mean(counts: &[f64]) -> f64 {
    counts.iter().sum::<f64>() / counts.len().max(1) as f64
}

/// Formats a count: `17,307`, or with a decimal where that matters.
pub(super) fn number(count: f64) -> String {
    let decimals = if count.abs() < 1000.0 { 10.0 } else { 1.0 };
    let rounded = (count * decimals).round() / decimals;
    let text = format!("{}", rounded.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(w, r)| (w, Some(r)));
    let sign = if rounded < 0.0 { "-" } else { "" };
    let rest = rest.map_or(String::new(), |rest| format!(".{rest}"));
    format!("{sign}{}{rest}", grouped(whole))
}

/// Puts a comma before every three digits.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a difference of counts with its sign.
pub(super) fn signed(count: f64) -> String {
    let text = number(count);
    if text == "0" || text.starts_with('-') { text } else { format!("+{text}") }
}

fn sentences(text: &mut String, document: &Count) -> std::fmt::Result {
    let mut class = None;
    for function in &document.grown {
        if class.replace(function.class) != Some(function.class) {
            writeln!(text, "{}: instructions of functions that grew, the largest first", function.class)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_small_ones_have_a_decimal() {
        for (count, expected) in [
            (17_307.4, "17,307"),
            (1_234_567.0, "1,234,567"),
            (999.94, "999.9"),
            (12.0, "12"),
            (0.04, "0"),
            (-1234.0, "-1,234"),
            (-0.04, "0"),
        ] {
            assert_eq!(number(count), expected);
        }
        assert_eq!([1.0, -1.0, 0.0].map(signed), ["+1", "-1", "0"]);
        assert_eq!(range(&[12.0, 12.0]), "12");
        assert_eq!(range(&[17_310.0, 17_307.0]), "17,307 to 17,310");
    }
}
