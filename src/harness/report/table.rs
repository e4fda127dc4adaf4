//! The terminal output of a run.

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::grid::grid;
pub use super::heading::Heading;
use crate::base::clock::readable;
use crate::harness::class::Class;
use crate::harness::dialect::outcome::Cause;
use crate::harness::judge::changes::{ChangesReport, ChangesVerdict, RotationVerdict};
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::validity::{Headline, Reason};
use crate::harness::record::writes::Writes;
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::stats::intervals::quantile_interval;

/// Returns the notes and counts first; the heading, the percentiles and the verdict come last, where
/// readers look.
pub fn render(
    heading: &Heading<'_>,
    outcome: &Outcome,
    slo: &[Objective],
    notes: &[String],
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = sentences(&mut text, outcome, notes);
    let _ = writeln!(text, "\n{}\n{}", heading.lines(outcome), percentiles(outcome));
    if let Some(phases) = phases(heading.plan, outcome) {
        let _ = writeln!(text, "{phases}");
    }
    let _ = verdict(&mut text, outcome, slo);
    text
}

/// Width of the labels of lines.
const LABEL: usize = 10;

/// Breaks lines at blanks to fit into `width` columns. Continued lines are indented by the width of a
/// label.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let length = word.trim_end().chars().count();
            if column > LABEL && column + length > width {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.push_str(&" ".repeat(LABEL));
                column = LABEL;
            }
            out.push_str(word);
            column += word.chars().count();
        }
        out.push('\n');
    }
    out
}

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

fn head(names: [&str; 3]) -> Vec<String> {
    let quantiles = QUANTILES.map(|(name, _)| name);
    names.into_iter().chain(quantiles).map(str::to_owned).collect()
}

fn percentiles(outcome: &Outcome) -> String {
    let mut rows = vec![head(["class", "latency", "count"])];
    for (class, latencies) in outcome.measured.totals.whole.seen() {
        let count = latencies.response.len().to_string();
        rows.push(row([class.as_str(), "response", &count], &latencies.response));
        rows.push(row(["", "service", ""], &latencies.service));
        rows.push(row(["", "queue", ""], &latencies.queue));
        rows.push(row(["", "lag", ""], &latencies.lag));
    }
    grid(2, &rows)
}

/// Returns response times for each phase, if there are several.
fn phases(plan: &RunPlan, outcome: &Outcome) -> Option<String> {
    let phases = plan.workload.phases().filter(|phases| phases.phases.len() > 1)?;
    let mut rows = vec![head(["phase", "response", "count"])];
    for (phase, set) in phases.phases.iter().zip(&outcome.measured.tally.phases) {
        let mut name = phase.name.as_str();
        for (class, latencies) in set.seen() {
            let count = latencies.response.len().to_string();
            rows.push(row([name, class.as_str(), &count], &latencies.response));
            name = "";
        }
    }
    Some(grid(2, &rows))
}

fn row(names: [&str; 3], histogram: &Histogram<u64>) -> Vec<String> {
    let quantiles = QUANTILES.map(|(_, quantile)| at(histogram, quantile));
    names.into_iter().map(str::to_owned).chain(quantiles).collect()
}

/// Formats a quantile in a readable unit.
fn at(histogram: &Histogram<u64>, quantile: f64) -> String {
    if histogram.is_empty() {
        return "-".to_owned();
    }
    readable(histogram.value_at_quantile(quantile))
}

/// Writes the 95 % intervals of the p99, for classes that have one.
fn intervals(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Outcome { measured, .. } = outcome;
    for (class, _) in measured.totals.whole.seen() {
        if let Ok((low, high)) = quantile_interval(measured.totals.responses.of(class), 0.99) {
            let (low, high) = (readable(low), readable(high));
            writeln!(text, "interval  the p99 of {class} lies within {low} to {high} (95 %)")?;
        }
    }
    Ok(())
}

/// Writes how the requests of the measured part ended.
fn answers(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let statuses = outcome.measured.tally.statuses.iter();
    let statuses: Vec<String> =
        statuses.map(|(status, count)| format!("{count} x {status}")).collect();
    let failed = outcome.measured.totals.whole.failed();
    let statuses = statuses.join(", ");
    // The check below tells for the whole run if these refusals were right.
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

/// Writes why requests of the measured part failed, the most frequent cause first.
fn causes(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let mut causes: Vec<(&Cause, &u64)> = outcome.measured.tally.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let causes: Vec<String> =
        causes.iter().map(|(cause, count)| format!("{count} x {cause}")).collect();
    if causes.is_empty() { Ok(()) } else { writeln!(text, "causes    {}", causes.join(", ")) }
}

/// Writes the changes during the run, and their effects.
fn changes(text: &mut String, report: &ChangesReport) -> std::fmt::Result {
    let Writes { acknowledged, failed, .. } = &report.writes;
    writeln!(
        text,
        "changes   {}, {failed} failed; acknowledged after {} at the p50, {} at the p99",
        report.writes.count(),
        at(acknowledged, 0.5),
        at(acknowledged, 0.99)
    )?;
    match report.verdict {
        ChangesVerdict::Churn(judgement) => writeln!(
            text,
            "churn     {} removals; {} requests refused rightly, {} wrongly; {} tokens rightly, {} after a removal; {} answers during a change",
            judgement.removals,
            judgement.refused_rightly,
            judgement.refused_wrongly,
            judgement.tokens_rightly,
            judgement.tokens_after_removal,
            judgement.undecided
        ),
        ChangesVerdict::Outage { down } => writeln!(
            text,
            "outage    the token service was away for {:.1} s",
            std::time::Duration::from(down).as_secs_f64()
        ),
        ChangesVerdict::Rotation(RotationVerdict { keys, certificates, unread }) => writeln!(
            text,
            "rotation  {} rotations, {} keys in the sample; of its tokens {} with keys not published yet, {} with keys withdrawn, {} not watched; {} key sets read, {unread} not; {certificates} certificates rolled",
            keys.rotations,
            keys.signing_keys,
            keys.unpublished,
            keys.withdrawn,
            keys.unwatched,
            keys.key_sets
        ),
    }
}

fn sentences(text: &mut String, outcome: &Outcome, notes: &[String]) -> std::fmt::Result {
    notes.iter().try_for_each(|note| writeln!(text, "note      {note}"))?;
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
    match &outcome.changes {
        None => Ok(()),
        Some(report) => changes(text, report),
    }
}

/// Writes the verdicts on objectives, checks and validity.
fn verdict(text: &mut String, outcome: &Outcome, slo: &[Objective]) -> std::fmt::Result {
    intervals(text, outcome)?;
    for objective in slo {
        let phase = objective.phase().map_or_else(String::new, |phase| format!("{phase} "));
        writeln!(text, "slo       {phase}{objective}: {}", objective.judge(outcome))?;
    }
    for failure in &outcome.failures {
        writeln!(text, "FAILED    {failure}")?;
    }
    validity(text, &outcome.reasons)
}

/// Writes one line of validity. The report and `run.json` list the reasons.
fn validity(text: &mut String, reasons: &[Reason]) -> std::fmt::Result {
    for reason in reasons {
        if let Reason::Interrupted(_) = reason {
            writeln!(text, "PARTIAL   {reason}")?;
        }
    }
    match Headline::of(reasons) {
        Some(headline) => writeln!(text, "INVALID   {headline}"),
        None if reasons.is_empty() => {
            writeln!(text, "valid     the generator and the host kept up")
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_blanks_beside_their_label() {
        let text = "note      one two three four\nshort\n";
        assert_eq!(wrapped(text, 20), "note      one two\n          three four\nshort\n");
        // A word that cannot be broken stays whole.
        assert_eq!(
            wrapped("results   a/very/long/path/indeed", 20),
            "results   a/very/long/path/indeed\n"
        );
    }
}
