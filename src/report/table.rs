//! What a run says on the terminal.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};
use hdrhistogram::Histogram;

use super::run_json::{at, p99_interval_us};
use super::slo::Objective;
use crate::load::cause::Cause;
use crate::load::changes::writes::Writes;
use crate::load::changes::{Report, Rotated, Truth};
use crate::load::class::Class;
use crate::load::plan::Plan;
use crate::load::session::Outcome;

/// Percentiles per class, then sentences.
pub fn render(plan: &Plan, outcome: &Outcome, slo: &[Objective], notes: &[String]) -> String {
    let mut text = percentiles(outcome);
    text.push_str("\n\n");
    if let Some(phases) = phases(plan, outcome) {
        text.push_str(&phases);
        text.push_str("\n\n");
    }
    // Writing to a string cannot fail.
    let _ = sentences(&mut text, outcome, slo, notes);
    text
}

fn percentiles(outcome: &Outcome) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["class", "us", "count", "p50", "p90", "p99", "p99.9", "max", "p99 within"]);
    for (class, latencies) in outcome.measured.totals.whole.seen() {
        let interval = p99_interval_us(outcome, class).ok();
        let interval =
            interval.map_or("-".to_owned(), |[low, high]| format!("{low:.1} - {high:.1}"));
        let mut response = row(class.as_str(), "response", &latencies.response);
        response.push(Cell::new(interval));
        table.add_row(response);
        table.add_row(row("", "service", &latencies.service));
        table.add_row(row("", "queue", &latencies.queue));
        table.add_row(row("", "lag", &latencies.lag));
    }
    table.to_string()
}

/// Response times per phase, where there are several.
fn phases(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let phases = plan.workload.phases().filter(|phases| phases.phases.len() > 1)?;
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["phase", "response us", "count", "p50", "p90", "p99", "p99.9", "max"]);
    for (phase, set) in phases.phases.iter().zip(&outcome.measured.tally.phases) {
        let mut name = phase.name.as_str();
        for (class, latencies) in set.seen() {
            table.add_row(row(name, class.as_str(), &latencies.response));
            name = "";
        }
    }
    Some(table.to_string())
}

fn row(class: &str, kind: &str, histogram: &Histogram<u64>) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let quantiles = [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| {
        right(at(histogram, quantile).map_or("-".to_owned(), |us| format!("{us:.1}")))
    });
    let mut cells = vec![Cell::new(class), Cell::new(kind), right(histogram.len().to_string())];
    cells.extend(quantiles);
    cells
}

/// How the requests of the measured part ended.
fn answers(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let statuses = outcome.measured.tally.statuses.iter();
    let statuses: Vec<String> =
        statuses.map(|(status, count)| format!("{count} x {status}")).collect();
    let failed = outcome.measured.totals.whole.failed();
    let statuses = statuses.join(", ");
    // Whether these were due is said below, of the whole run.
    let refused = outcome.measured.totals.whole.seen().find(|(class, _)| *class == Class::Refused);
    match refused.map(|(_, latencies)| latencies.response.len()) {
        None => writeln!(text, "answers   {statuses}; {failed} failed"),
        Some(refused) => writeln!(
            text,
            "answers   {statuses}; {refused} refused for want of the identity, {failed} failed"
        ),
    }?;
    causes(text, outcome)
}

/// Why requests of the measured part failed, the most frequent cause first.
fn causes(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let mut causes: Vec<(&Cause, &u64)> = outcome.measured.tally.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let causes: Vec<String> =
        causes.iter().map(|(cause, count)| format!("{count} x {cause}")).collect();
    if causes.is_empty() { Ok(()) } else { writeln!(text, "causes    {}", causes.join(", ")) }
}

/// What was changed meanwhile, and what that showed.
fn changes(text: &mut String, report: &Report) -> std::fmt::Result {
    let Writes { acknowledged, failed, .. } = &report.writes;
    let us = |quantile| at(acknowledged, quantile).map_or("-".to_owned(), |us| format!("{us:.1}"));
    writeln!(
        text,
        "changes   {}, {failed} failed; acknowledged after {} us at the p50, {} us at the p99",
        report.writes.count(),
        us(0.5),
        us(0.99)
    )?;
    match report.truth {
        Truth::Churn(judgement) => writeln!(
            text,
            "churn     {} removals; {} requests refused rightly, {} wrongly; {} tokens rightly, {} after a removal; {} answers during a change",
            judgement.removals,
            judgement.refused_rightly,
            judgement.refused_wrongly,
            judgement.tokens_rightly,
            judgement.tokens_after_removal,
            judgement.undecided
        ),
        Truth::Outage { down_ns } => writeln!(
            text,
            "outage    the token service was away for {:.1} s",
            std::time::Duration::from_nanos(down_ns).as_secs_f64()
        ),
        Truth::Rotate(Rotated { moments, certificates, unread }) => writeln!(
            text,
            "rotation  {} rotations, {} keys in the sample; of its tokens {} with keys not published yet, {} with keys withdrawn, {} not watched; {} key sets read, {unread} not; {certificates} certificates rolled",
            moments.rotations,
            moments.signing_keys,
            moments.unpublished,
            moments.withdrawn,
            moments.unwatched,
            moments.key_sets
        ),
    }
}

fn sentences(
    text: &mut String,
    outcome: &Outcome,
    slo: &[Objective],
    notes: &[String],
) -> std::fmt::Result {
    if let Some(rate) = outcome.rate_achieved {
        let answered = outcome.rate_answered;
        writeln!(text, "rate      {rate:.1} requests/s, {answered:.1} answers/s")?;
    }
    answers(text, outcome)?;
    let counters = outcome.broker.as_ref().and_then(|counted| counted.measured);
    let figures = counters.and_then(|counters| {
        Some((counters.cpu_us_per_request()?, counters.hit_ratio()? * 100.0, counters.mints))
    });
    if let Some((cpu_us, percent, mints)) = figures {
        writeln!(
            text,
            "broker    {cpu_us:.1} us CPU per request, {percent:.2} % hits, {mints} mints"
        )?;
    }
    match &outcome.verdict {
        None => writeln!(text, "verified  nothing: no keys to verify with (see --jwks)")?,
        Some(verdict) => {
            writeln!(text, "verified  {} answers, {} wrong", verdict.sampled, verdict.faults())?;
        }
    }
    if let Some(report) = &outcome.changes {
        changes(text, report)?;
    }
    for objective in slo {
        let phase = objective.phase().map_or_else(String::new, |phase| format!("{phase} "));
        writeln!(text, "slo       {phase}{objective}: {}", objective.judge(outcome))?;
    }
    notes.iter().try_for_each(|note| writeln!(text, "note      {note}"))?;
    for failure in &outcome.failures {
        writeln!(text, "FAILED    {failure}")?;
    }
    if outcome.reasons.is_empty() {
        return writeln!(text, "valid     the generator and the host kept up");
    }
    outcome.reasons.iter().try_for_each(|reason| writeln!(text, "INVALID   {reason}"))
}
