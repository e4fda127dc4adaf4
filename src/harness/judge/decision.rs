//! Decision of a run: the questions that it leaves open, if there are any.

use super::objective::{Verdict, judged};
use super::outcome::Outcome;
use super::ruling::{Asked, Ruling};
use super::standing::Standing;
use super::validity::Headline;
use crate::base::clock::readable;

/// Percentiles that a run without objectives has to measure.
const ASKED: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];

/// Returns the questions that a run leaves open, with the main cause; none if it decides all of them.
///
/// The questions are its objectives. Without objectives, the p50 and the p99 over all good answers must be
/// measured. A failed check is a decision, however little else is known.
pub fn left_open(asked: Asked<'_>, outcome: &Outcome) -> Option<String> {
    if !outcome.failures.is_empty() {
        return None;
    }
    let ruling = Ruling::of(asked.rule, outcome);
    let cause = |reasons| Headline::of(reasons).map(|headline| headline.cause);
    if let Some(reason) = ruling.reasons.first() {
        return Some(cause(&ruling.reasons).unwrap_or_else(|| reason.to_string()));
    }
    let open = match asked.objectives {
        [] => unmeasured(outcome),
        _ => untold(asked, outcome),
    };
    let disturbed = cause(&ruling.disturbances);
    open.map(|open| disturbed.map_or(open.clone(), |cause| format!("{open}; {cause}")))
}

/// Names the percentiles that the run did not measure.
fn unmeasured(outcome: &Outcome) -> Option<String> {
    let bounds = outcome.bounds();
    let open = ASKED.iter().filter_map(|(name, quantile)| {
        let Some(of) = bounds.at(*quantile) else { return Some(format!("{name} is unknown")) };
        match of.standing {
            Standing::Measured => None,
            Standing::Bounded => Some(format!("{name} is at most {}", readable(of.upper_ns))),
            Standing::Recorded | Standing::Unknown => Some(format!("{name} is unknown")),
        }
    });
    joined(open)
}

/// Names the objectives that are neither met nor missed.
fn untold(asked: Asked<'_>, outcome: &Outcome) -> Option<String> {
    let open = judged(asked, outcome).filter_map(|(objective, judgement)| {
        let is_open = judgement.verdict == Verdict::Inconclusive;
        is_open.then(|| format!("{objective}: {}", judgement.doubt()))
    });
    joined(open)
}

fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
