//! Writes a gate for the terminal: the table, the metrics not judged, the verdict.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, TableStyle, presets};

use super::document::{not_judged, percent};
use super::judge::Finding;
use crate::base::printable::printable;
use crate::harness::document::gate::{Gate, MetricResult};

/// Returns the table of metrics, the builds and the load, and the verdict.
pub fn render(document: &Gate) -> String {
    let mut text = table(document, presets::UTF8_HORIZONTAL_ONLY);
    text.push_str("\n\n");
    // Writing to a string cannot fail.
    let _ = sentences(&mut text, document);
    printable(&text).into_owned()
}

/// Returns the results so far, for a user who interrupts a gate before its verdict.
pub fn so_far(pairs: usize, findings: &[Finding]) -> String {
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
            Err(not) => writeln!(text, "{metric} is not judged: {}", not_judged(*not)),
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

fn span([low, high]: [Option<f64>; 2]) -> String {
    format!("{} to {}", share(low), share(high))
}

/// Largest share that is shown: 1000 % worse. Anything above it is as bad.
const SHARE_MAX: f64 = 10.0;

/// Formats a share in per cent with its sign.
pub(super) fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        // With two or three noisy pairs, say, the digits of such a number mean nothing.
        Some(share) if share > SHARE_MAX => format!("> {:.0} %", SHARE_MAX * 100.0),
        Some(share) => format!("{:+.2} %", share * 100.0),
    }
}

/// Formats a share in words: its direction and its size.
pub(super) fn change(share: Option<f64>) -> String {
    let rounded = share.map(|share| (share * 1e4).round() / 1e2);
    match rounded {
        None => "unknown".to_owned(),
        Some(percent) if percent > SHARE_MAX * 100.0 => {
            format!("more than {:.0} % worse", SHARE_MAX * 100.0)
        }
        Some(percent) if percent > 0.0 => format!("{percent:.2} % worse"),
        Some(percent) if percent < 0.0 => format!("{:.2} % better", percent.abs()),
        Some(_) => "no change".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_improvement_is_called_better_and_a_slow_down_worse() {
        let said = [Some(-0.0322), Some(0.013), Some(0.000_04), Some(39.0), None].map(change);
        let expected =
            ["3.22 % better", "1.30 % worse", "no change", "more than 1000 % worse", "unknown"];
        assert_eq!(said, expected);
    }
}
