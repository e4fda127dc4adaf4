//! Notes for the reader of a run that do not make it invalid.

use std::time::Duration;

use super::advice::Controls;
use crate::base::clock::{readable, readable_us};
use crate::harness::dialect::outcome::Status;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Asked, Rule};
use crate::harness::judge::steady_state::SteadyState;
use crate::harness::judge::throttle::Share;
use crate::harness::nanos::Nanos;
use crate::harness::record::broker_counters::Counted;
use crate::harness::scenario::changes::{Changes, ROTATING_TOKEN_LIFETIME_SECONDS};
use crate::harness::scenario::run_plan::RunPlan;

/// Returns the notes that follow from a plan, its outcome and the objectives.
pub(crate) fn of(plan: &RunPlan, outcome: &Outcome, asked: Asked<'_>) -> Vec<String> {
    let own = [
        queue(outcome),
        reconnects(outcome),
        sessions(outcome),
        changes(plan),
        Share::of(plan, &outcome.measured).map(|share| share.to_string()),
        counters(outcome.broker.as_ref()),
        samples(plan, outcome),
        pacer(outcome),
        steadiness(outcome),
        independence(asked, outcome.duration),
        broker(outcome),
        timeouts(plan, outcome),
    ];
    let controls = Controls::of(plan);
    own.into_iter().flatten().map(|note| controls.advise(&note)).collect()
}

fn counters(broker: Option<&Counted>) -> Option<String> {
    broker.is_some_and(|counted| counted.measured.is_none()).then(|| {
        "the broker's counters could not be read when the measured part began: they are left out, and so are the checks on them; see the broker's log".to_owned()
    })
}

fn samples(plan: &RunPlan, outcome: &Outcome) -> Option<String> {
    let (kept, asked) = (outcome.measured.samples.len(), plan.samples);
    let is_told = outcome.measured.samples_full && outcome.verdict.is_some();
    is_told.then(|| {
        format!("sampled answers kept and verified: {kept} of {asked}, because longer answers do not fit into 16 KB of memory each; raise --samples to keep more")
    })
}

fn queue(outcome: &Outcome) -> Option<String> {
    let p99_ns = outcome.all.queue.value_at_quantile(0.99);
    // A tenth of the response time, as for the generator's own lateness.
    (p99_ns > outcome.all.response.value_at_quantile(0.99) / 10).then(|| {
        format!(
            "requests waited for a free connection, {} at the p99: that is part of response but not of service; raise --connections, or lower --rate if the target cannot keep up",
            readable(p99_ns)
        )
    })
}

fn reconnects(outcome: &Outcome) -> Option<String> {
    let count = outcome.measured.tally.reconnects;
    (count > 0).then(|| {
        format!("{count} connections were made anew under load: their connect time is part of response but not of service")
    })
}

fn sessions(outcome: &Outcome) -> Option<String> {
    let count = outcome.measured.tally.sessions;
    (count > 0).then(|| {
        format!("{count} sessions were opened anew under load: that is part of response but not of service, and none of the counted requests")
    })
}

fn changes(plan: &RunPlan) -> Option<String> {
    match plan.changes {
        Changes::None => None,
        Changes::Churn { .. } => Some(
            "changes were made one after the other over one connection, without a token (--arm-auth off): their acknowledgements hold no check of one".to_owned(),
        ),
        Changes::Outage { length, .. } => Some(format!(
            "the broker gets its tokens from a token service in another process, which is killed for {} s and started again",
            length / Nanos::SECOND
        )),
        Changes::Rotate { .. } => Some(format!(
            "tokens live {ROTATING_TOKEN_LIFETIME_SECONDS} s and are renewed at half of that, so that every key signs some; the broker gets them from its own token service over HTTP, with certificates"
        )),
    }
}

fn pacer(outcome: &Outcome) -> Option<String> {
    let rehearsal = &outcome.measured.pacing.rehearsal;
    if rehearsal.is_empty() {
        return None;
    }
    let [p50, p99, p999] =
        [0.5, 0.99, 0.999].map(|quantile| readable(rehearsal.value_at_quantile(quantile)));
    Some(format!(
        "pacing without load was late by {p50} at the p50, {p99} at the p99, {p999} at the p99.9: no run here is more punctual than that"
    ))
}

fn steadiness(outcome: &Outcome) -> Option<String> {
    match outcome.conditions.steady {
        SteadyState::TooShort { .. } if outcome.good.response.is_empty() => none_good(outcome),
        SteadyState::TooShort { seconds } => Some(format!(
            "{seconds} s are too short to tell whether there was a steady state; at least 20 s are needed, and 60 s to call a drift a disturbance"
        )),
        SteadyState::Steady { warm_up_s } if warm_up_s > 0 => Some(format!(
            "the first {warm_up_s} s of the measured part look like warm-up and are in the figures; raise --warmup"
        )),
        SteadyState::Drifting { drift, decided: false } => Some(format!(
            "the p95 of a second went from {} in the first half to {} in the second; whether the target drifts or the host, a longer --duration tells",
            readable_us(drift.first / 1000.0),
            readable_us(drift.second / 1000.0)
        )),
        SteadyState::NotExpected
        | SteadyState::Steady { .. }
        | SteadyState::Drifting { decided: true, .. } => None,
    }
}

/// Length from which on the index of dispersion corrects the verdicts on objectives: ten stretches of a second.
const CORRECTED_FROM: Nanos = Nanos::from_secs(10);

/// Says that verdicts on objectives are too sure if slow answers come in bursts. The strict rule, and objectives on the
/// maximum, calculate no chance.
fn independence(asked: Asked<'_>, duration: Nanos) -> Option<String> {
    let is_by_chance = asked.rule == Rule::Bounds
        && asked.objectives.iter().any(|objective| objective.quantile() < 1.0);
    (is_by_chance && duration < CORRECTED_FROM).then(|| {
        "objectives are judged as if answers were independent, because less than 10 s were measured; if slow answers come in bursts, the verdict is surer than it should be: raise --duration".to_owned()
    })
}

/// Names the failures of a run without a good answer.
fn none_good(outcome: &Outcome) -> Option<String> {
    let failed = outcome.all.response.len();
    let (cause, count) = outcome.measured.tally.causes.iter().max_by_key(|(_, count)| **count)?;
    let most = if *count == failed { String::new() } else { format!("{count} x ") };
    Some(format!(
        "all {failed} requests failed ({most}{cause}): the times are those of failures, and nobody can tell whether there was a steady state"
    ))
}

/// Lateness of the broker's probe does not make the run invalid, because a busy broker makes its own
/// threads wait. But the response times include it, whatever its cause.
fn broker(outcome: &Outcome) -> Option<String> {
    let wakeups = &outcome.conditions.broker.as_ref()?.wakeups;
    let late_ns = wakeups.quantile_ns(0.999)?;
    (late_ns > outcome.good.response.value_at_quantile(0.99) / 10).then(|| {
        format!(
            "the broker's host stopped it, or its core was busy: a thread there that only sleeps was woken up to {} late at its p99.9, more than a tenth of the p99 response",
            readable(late_ns)
        )
    })
}

fn timeouts(plan: &RunPlan, outcome: &Outcome) -> Option<String> {
    let count = outcome.measured.tally.statuses.get(&Status::Timeout)?;
    Some(format!(
        "{count} requests were given up after {}: they are in the class `error`, so that the percentiles of the good answers hold only what came in time",
        humantime::format_duration(Duration::from(plan.timeout))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::broker_counters::Counters;
    use crate::harness::scenario::objective::Objective;
    use crate::harness::stats::intervals::Chance;

    #[test]
    fn counters_that_were_not_read_in_time_are_named() {
        let whole = Counters::default();
        let note =
            counters(Some(&Counted { measured: None, whole, anonymous_bytes: None })).unwrap();
        assert!(note.contains("could not be read when the measured part began"), "{note}");
        assert_eq!(
            counters(Some(&Counted { measured: Some(whole), whole, anonymous_bytes: None })),
            None
        );
        assert_eq!(counters(None), None);
    }

    #[test]
    fn a_verdict_on_an_objective_of_a_short_run_is_called_too_sure() {
        let said = |rule, objectives: &[&str], duration| {
            let objectives: Vec<Objective> =
                objectives.iter().map(|text| text.parse().unwrap()).collect();
            let asked = Asked { rule, chance: Chance::USUAL, objectives: &objectives };
            independence(asked, duration)
        };
        let (short, long) = (Nanos::from_millis(9_999), Nanos::from_secs(10));
        let note = said(Rule::Bounds, &["max<1s", "p99<2ms"], short).unwrap();
        assert!(note.contains("as if answers were independent"), "{note}");
        assert_eq!(said(Rule::Bounds, &["p99<2ms"], long), None);
        assert_eq!(said(Rule::Bounds, &["max<1s"], short), None);
        assert_eq!(said(Rule::Bounds, &[], short), None);
        assert_eq!(said(Rule::Strict, &["p99<2ms"], short), None);
    }
}
