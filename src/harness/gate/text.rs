//! Writes a gate for the terminal: the table, the metrics not judged, the verdict.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, TableStyle, presets};

use super::figures::{change, percent, share, span};
use super::judge::Finding;
use crate::base::printable::printable;
use crate::harness::document::gate::{Gate, MetricResult};

/// Returns the table of metrics, the builds and the load, and the verdict.
pub(crate) fn render(document: &Gate) -> String {
    let mut text = table(document, presets::UTF8_HORIZONTAL_ONLY);
    text.push_str("\n\n");
    // Writing to a string cannot fail.
    let _ = sentences(&mut text, document);
    printable(&text).into_owned()
}

/// Returns the results so far, for a user who interrupts a gate before its verdict.
pub(crate) fn so_far(pairs: usize, findings: &[Finding]) -> String {
    if pairs == 0 {
        return "no pair was measured\n".to_owned();
    }
    let mut text = format!("pairs measured: {pairs}; the effects so far are no verdict\n");
    for (metric, finding) in findings {
        // Writing to a string cannot fail.
        let _ = match finding {
            Ok(judged) => writeln!(
                text,
                "{metric}: base {}, candidate {}, {}",
                metric.show(judged.base),
                metric.show(judged.candidate),
                change(Some(metric.share_of(judged.effect)))
            ),
            Err(not) => writeln!(text, "{metric} is not judged: {not}"),
        };
    }
    printable(&text).into_owned()
}

/// Returns the metrics as a table in this style.
pub(super) fn table(document: &Gate, style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style);
    table.set_header([
        "metric",
        "base",
        "candidate",
        "effect",
        "between",
        "smallest",
        "limit",
        "verdict",
    ]);
    for metric in &document.metrics {
        table.add_row(row(metric));
    }
    table.to_string()
}

fn row(metric: &MetricResult) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut cells = vec![Cell::new(metric.metric)];
    let Some(judged) = &metric.judged else {
        cells.extend(["-"; 5].map(Cell::new));
        cells.extend([right(percent(metric.limit)), Cell::new("not judged")]);
        return cells;
    };
    let numbers = [
        metric.metric.show(judged.base_median),
        metric.metric.show(judged.candidate_median),
        share(Some(judged.effect)),
        span(judged.bounds),
        share(judged.smallest_effect),
        percent(metric.limit),
    ];
    cells.extend(numbers.map(right));
    cells.push(Cell::new(judged.verdict.as_str()));
    cells
}

/// Describes the load and the world of the gate, without its host.
pub(super) fn made(document: &Gate) -> String {
    let Gate { load, policy, scenario, .. } = document;
    let rate = load.rate.map_or("-".to_owned(), |rate| rate.to_string());
    format!(
        "{} pairs of `{scenario}` at {rate} requests/s, {} s after {} s of warm-up, {} VMs with {} user-assigned identities each, {} connections",
        policy.pairs_made,
        load.duration_s,
        load.warmup_s,
        load.vms,
        load.user_assigned,
        load.connections
    )
}

fn sentences(text: &mut String, document: &Gate) -> std::fmt::Result {
    for MetricResult { metric, not_judged, .. } in &document.metrics {
        if let Some(why) = not_judged {
            writeln!(text, "{metric} is not judged: {why}")?;
        }
    }
    writeln!(text, "base      {}", document.base)?;
    writeln!(text, "candidate {}", document.candidate)?;
    writeln!(text, "made      {}", made(document))?;
    writeln!(text, "host      {}", document.host)?;
    document.notes.iter().try_for_each(|note| writeln!(text, "note      {note}"))?;
    writeln!(text, "verdict   {}: {}", document.verdict.as_str().to_uppercase(), document.sentence)
}
