//! What a gate says on the terminal: what it could have seen first, then what it saw.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, TableStyle, presets};

use super::document::{Document, JudgedJson, MetricJson, percent};

/// The smallest effects, the table of metrics, the verdict.
pub fn render(document: &Document) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = smallest(&mut text, document);
    text.push_str(&table(document, presets::UTF8_HORIZONTAL_ONLY));
    text.push_str("\n\n");
    let _ = sentences(&mut text, document);
    text
}

/// One line for each metric: what the gate could not have missed.
fn smallest(text: &mut String, document: &Document) -> std::fmt::Result {
    for MetricJson { metric, judged, not_judged, .. } in &document.metrics {
        match (judged, not_judged) {
            (Some(judged), _) => {
                let (pairs, smallest) = (judged.pairs, share(judged.smallest_effect));
                writeln!(text, "smallest effect   {metric}: {smallest}, from {pairs} pairs")?;
            }
            (None, why) => {
                writeln!(text, "not judged        {metric}: {}", why.as_deref().unwrap_or("-"))?;
            }
        }
    }
    writeln!(text)
}

/// The metrics as a table in a style of the library.
pub(super) fn table(document: &Document, style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style);
    table.set_header([
        "metric",
        "base",
        "candidate",
        "effect",
        "95 % within",
        "robust",
        "bounds",
        "smallest",
        "limit",
        "verdict",
    ]);
    for metric in &document.metrics {
        table.add_row(row(metric));
    }
    table.to_string()
}

fn row(metric: &MetricJson) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut cells = vec![Cell::new(metric.metric)];
    let Some(judged) = &metric.judged else {
        cells.extend(["-"; 7].map(Cell::new));
        cells.extend([right(percent(metric.limit)), Cell::new("not judged")]);
        return cells;
    };
    let JudgedJson { effect_interval, bounds, .. } = judged;
    let numbers = [
        metric.metric.show(judged.base_median),
        metric.metric.show(judged.candidate_median),
        share(Some(judged.effect)),
        span(effect_interval),
        share(judged.robust_effect),
        span(bounds),
        share(judged.smallest_effect),
        percent(metric.limit),
    ];
    cells.extend(numbers.map(right));
    cells.push(Cell::new(judged.verdict.as_str()));
    cells
}

fn span([low, high]: &[Option<f64>; 2]) -> String {
    format!("{} to {}", share(*low), share(*high))
}

/// Ten times slower: whatever is above it is as bad.
const SHARE_MAX: f64 = 10.0;

/// A share in per cent with its sign.
pub(super) fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        // Of two or three noisy pairs, say: the digits of such a number mean nothing.
        Some(share) if share > SHARE_MAX => format!("> {:.0} %", SHARE_MAX * 100.0),
        Some(share) => format!("{:+.2} %", share * 100.0),
    }
}

/// How the gate was made, without its host.
pub(super) fn made(document: &Document) -> String {
    let Document { load, policy, scenario, .. } = document;
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

fn sentences(text: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(text, "base      {}", document.base)?;
    writeln!(text, "candidate {}", document.candidate)?;
    writeln!(text, "made      {}", made(document))?;
    writeln!(text, "host      {}", document.host)?;
    document.notes.iter().try_for_each(|note| writeln!(text, "note      {note}"))?;
    writeln!(text, "verdict   {}: {}", document.verdict.as_str().to_uppercase(), document.sentence)
}
