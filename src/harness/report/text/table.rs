//! The terminal output of a run.

use std::cmp::Reverse;
use std::fmt::{Result, Write};

pub(crate) use super::heading::Heading;
use super::layout::grid;
use super::{attempts, pauses, statement, undisturbed};
use crate::base::clock::readable_us;
use crate::harness::class::Class;
use crate::harness::document::percentiles::{Percentiles, ResponsePercentiles};
use crate::harness::document::run::Run;
use crate::harness::document::run::changes::{Changes, ChurnCounts, Outage, Rotation};
use crate::harness::judge::advice::Controls;
use crate::harness::judge::objective::judged;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Asked, Rule, Ruling};
use crate::harness::judge::validity::{Headline, Reason};
use crate::harness::report::quantiles::percentiles;

/// Returns the notes and counts first. The heading, what was measured, the percentiles and the verdict come last,
/// where readers look.
///
/// `outcome` adds to `run` the figures that no document holds. These are percentiles of the queue and the
/// lag, the basis of each judgement, and the most important reason of an invalid run.
pub(crate) fn render(
    heading: &Heading<'_>,
    run: &Run,
    outcome: &Outcome,
    asked: Asked<'_>,
) -> String {
    let mut text = String::new();
    let ruling = Ruling::of(asked.rule, outcome);
    // Writing to a string cannot fail.
    let _ = sentences(&mut text, heading, run, outcome);
    let _ = writeln!(text, "\n{}", heading.lines(outcome.duration));
    let _ = first_lines(&mut text, run, asked.rule, &ruling);
    let _ = writeln!(text, "{}", latencies(run, outcome));
    if heading.has_phases() {
        let _ = writeln!(text, "{}", phases(run));
    }
    let _ = verdict(&mut text, run, outcome, (asked, &ruling));
    Controls::of(heading.plan).advise(&text)
}

/// Names of the percentiles in tables.
const PERCENTILES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// Returns the head of a table with percentiles.
pub(super) fn head(names: [&str; 3]) -> Vec<String> {
    names.into_iter().chain(PERCENTILES).map(str::to_owned).collect()
}

/// Returns a row of a table with percentiles.
pub(super) fn row(names: [&str; 3], of: Percentiles) -> Vec<String> {
    let Percentiles { p50, p90, p99, p999, max } = of;
    let percentiles = [p50, p90, p99, p999, max].map(or_dash);
    names.into_iter().map(str::to_owned).chain(percentiles).collect()
}

/// Returns a row of a table with percentiles of the response time, marked with their standing.
pub(super) fn response_row(names: [&str; 3], of: ResponsePercentiles) -> Vec<String> {
    let cells = of.named().map(|(_, of)| statement::cell(of));
    names.into_iter().map(str::to_owned).chain(cells).collect()
}

/// Formats a number of microseconds in a readable unit, or a dash for an unknown one.
pub(super) fn or_dash(us: Option<f64>) -> String {
    us.map_or("-".to_owned(), readable_us)
}

/// Writes long pauses, and what was measured, unless nothing was, or the strict rule asks for all or
/// nothing.
fn first_lines(text: &mut String, run: &Run, rule: Rule, ruling: &Ruling) -> Result {
    if Headline::of(&ruling.reasons).is_some() {
        return Ok(());
    }
    let (paused, whole) = (pauses::headline(&run.load), run.whole.filter(|_| rule == Rule::Bounds));
    if let Some(paused) = &paused {
        writeln!(text, "PAUSED    {paused}")?;
    }
    whole.map_or(Ok(()), |whole| statement::write(text, whole.response_us, ruling))?;
    if paused.is_some() || whole.is_some() { writeln!(text) } else { Ok(()) }
}

fn latencies(run: &Run, outcome: &Outcome) -> String {
    let mut rows = vec![head(["class", "latency", "count"])];
    for (class, latencies) in outcome.measured.totals.whole.seen() {
        let count = latencies.response.len().to_string();
        let response = run.classes.get(&class).map(|of| of.response_us).unwrap_or_default();
        rows.push(response_row([class.as_str(), "response", &count], response));
        rows.push(row(["", "service", ""], percentiles(&latencies.service)));
        rows.push(row(["", "queue", ""], percentiles(&latencies.queue)));
        rows.push(row(["", "lag", ""], percentiles(&latencies.lag)));
    }
    grid(2, &rows)
}

/// Returns response times for each phase.
fn phases(run: &Run) -> String {
    let mut rows = vec![head(["phase", "response", "count"])];
    for phase in &run.phases {
        let mut name = phase.name.as_str();
        for (class, of) in &phase.classes {
            rows.push(response_row([name, class.as_str(), &of.count.to_string()], of.response_us));
            name = "";
        }
    }
    grid(2, &rows)
}

/// Returns the 95 % intervals of the p99, for classes that have one.
pub(super) fn intervals(run: &Run) -> impl Iterator<Item = String> {
    run.classes.iter().filter_map(|(class, of)| {
        let [low, high] = of.p99_interval_us?.map(readable_us);
        Some(format!("interval  the p99 of {class} lies within {low} to {high} (95 %)"))
    })
}

/// Writes how the requests of the measured part ended.
fn answers(text: &mut String, run: &Run, outcome: &Outcome) -> Result {
    let statuses = run.statuses.iter().map(|(status, count)| format!("{count} x {status}"));
    let statuses = statuses.collect::<Vec<_>>().join(", ");
    let failed: u64 = run.classes.values().map(|class| class.errors).sum();
    // The check below tells for the whole run if these refusals were right.
    let refused = run.classes.get(&Class::Refused).map_or_else(String::new, |refused| {
        format!("{} refused for want of the identity, ", refused.count)
    });
    writeln!(text, "answers   {statuses}; {refused}{failed} failed")?;
    causes(text, outcome)
}

/// Most causes in the table. `run.json` has them all.
const CAUSES_MAX: usize = 6;

/// Writes why requests of the measured part failed, the most frequent cause first.
fn causes(text: &mut String, outcome: &Outcome) -> Result {
    let mut causes: Vec<_> = outcome.measured.tally.causes.iter().collect();
    causes.sort_by_key(|(_, count)| Reverse(**count));
    let others: u64 = causes.iter().skip(CAUSES_MAX).map(|(_, count)| **count).sum();
    let others = (others > 0).then(|| format!("{others} x other causes (see run.json)"));
    let shown = causes.iter().take(CAUSES_MAX).map(|(cause, count)| format!("{count} x {cause}"));
    let shown: Vec<String> = shown.chain(others).collect();
    if shown.is_empty() { Ok(()) } else { writeln!(text, "causes    {}", shown.join(", ")) }
}

/// Writes the changes during the run, and their effects.
fn changes(text: &mut String, run: &Run) -> Result {
    let Some(Changes { count, failed, ack_us, .. }) = &run.changes else { return Ok(()) };
    let (p50, p99) = (or_dash(ack_us.p50), or_dash(ack_us.p99));
    writeln!(
        text,
        "changes   {count}, {failed} failed; acknowledged after {p50} at the p50, {p99} at the p99"
    )?;
    if let Some(churn) = &run.churn {
        writeln!(text, "{}", of_churn(&churn.counts))?;
    }
    if let Some(Outage { down_s, .. }) = &run.outage {
        writeln!(text, "outage    the token service was away for {down_s:.1} s")?;
    }
    if let Some(rotation) = &run.rotation {
        writeln!(text, "{}", of_rotation(rotation))?;
    }
    Ok(())
}

fn of_churn(churn: &ChurnCounts) -> String {
    format!(
        "churn     {} removals; {} requests refused rightly, {} wrongly; {} tokens rightly, {} after a removal; {} answers during a change",
        churn.removals,
        churn.refused_rightly,
        churn.refused_wrongly,
        churn.tokens_rightly,
        churn.tokens_after_removal,
        churn.undecided
    )
}

fn of_rotation(rotation: &Rotation) -> String {
    format!(
        "rotation  {} rotations, {} keys in the sample; of its tokens {} with keys not published yet, {} with keys withdrawn, {} not watched; {} key sets read, {} not; {} certificates rolled",
        rotation.rotations,
        rotation.signing_keys,
        rotation.unpublished,
        rotation.withdrawn,
        rotation.unwatched,
        rotation.key_sets,
        rotation.key_sets_unread,
        rotation.certificates
    )
}

fn sentences(text: &mut String, heading: &Heading<'_>, run: &Run, outcome: &Outcome) -> Result {
    let disturbances = &run.validity.disturbances;
    disturbances.iter().try_for_each(|reason| writeln!(text, "reason    {reason}"))?;
    run.notes.iter().try_for_each(|note| writeln!(text, "note      {note}"))?;
    if let Some(rate) = run.load.rate_achieved {
        let answered = run.load.rate_answered;
        writeln!(text, "rate      {rate:.1} requests/s, {answered:.1} answers/s")?;
    }
    pauses::line(&run.load).map_or(Ok(()), |line| writeln!(text, "{line}"))?;
    answers(text, run, outcome)?;
    broker(text, run)?;
    match run.verified.faults() {
        None if heading.has_jwt() => {
            writeln!(text, "verified  nothing: no keys to verify with (see --jwks)")?;
        }
        // Nothing in these answers can be verified.
        None => {}
        Some(faults) => {
            writeln!(text, "verified  {} answers, {faults} wrong", run.verified.sampled)?;
        }
    }
    changes(text, run)
}

/// Writes what the broker counted, if the counters are known and it had requests.
fn broker(text: &mut String, run: &Run) -> Result {
    let Some(broker) = &run.broker else { return Ok(()) };
    let figures = broker.cpu_us_per_request.zip(broker.hit_ratio());
    let Some((cpu_us, hit_ratio)) = figures else { return Ok(()) };
    let (percent, mints) = (hit_ratio * 100.0, broker.mints);
    writeln!(text, "broker    {cpu_us:.1} us CPU per request, {percent:.2} % hits, {mints} mints")
}

/// Writes the verdicts on objectives, checks and validity.
fn verdict(
    text: &mut String,
    run: &Run,
    outcome: &Outcome,
    (asked, ruling): (Asked<'_>, &Ruling),
) -> Result {
    intervals(run).try_for_each(|interval| writeln!(text, "{interval}"))?;
    undisturbed::line(run).map_or(Ok(()), |line| writeln!(text, "{line}"))?;
    for (objective, judgement) in judged(asked, outcome) {
        let phase = objective.phase().map_or_else(String::new, |phase| format!("{phase} "));
        writeln!(text, "slo       {phase}{objective}: {judgement}")?;
    }
    for failure in &run.checks.failures {
        writeln!(text, "FAILED    {failure}")?;
    }
    text.push_str(&attempts::lines(run.attempts.as_ref()));
    validity(text, ruling)
}

/// Writes one line of validity. The report and `run.json` list the reasons.
fn validity(text: &mut String, ruling: &Ruling) -> Result {
    let Ruling { reasons, disturbances } = ruling;
    for reason in reasons {
        if let Reason::Interrupted(_) = reason {
            writeln!(text, "PARTIAL   {reason}")?;
        }
    }
    match Headline::of(reasons) {
        Some(headline) => writeln!(text, "INVALID   {headline}"),
        None if !reasons.is_empty() => Ok(()),
        None => match Headline::of(disturbances) {
            Some(headline) => writeln!(text, "disturbed {}", headline.cause),
            None => writeln!(text, "valid     the generator and the host kept up"),
        },
    }
}
