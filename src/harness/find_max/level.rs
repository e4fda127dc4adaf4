//! One level of load, judged by the objectives of a search.

use super::bracket::Told;
use crate::base::clock::us;
use crate::harness::document::find_max::{Level, Verdict};
use crate::harness::judge::objective;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Asked, Rule, Ruling};
use crate::harness::judge::validity::{Headline, Reason};
use crate::harness::report::run::{judged, whole};

/// Judges the outcome of a level at this rate.
pub(crate) fn level(rate: f64, asked: Asked<'_>, outcome: &Outcome) -> Level {
    let ruling = Ruling::of(asked.rule, outcome);
    let (verdict, cause) = verdict(asked, outcome, &ruling.reasons);
    Level {
        rate,
        duration_s: us(outcome.duration.as_u64()) / 1e6,
        rate_achieved: outcome.rate_achieved.unwrap_or_default(),
        rate_answered: outcome.rate_answered,
        paused_s: Some(us(outcome.measured.paused.as_u64()) / 1e6),
        failed: outcome.measured.totals.whole.failed(),
        verdict,
        cause,
        response_us: whole(outcome).response_us,
        slo: judged(asked, outcome),
        disturbances: ruling.disturbances.iter().map(ToString::to_string).collect(),
    }
}

/// Returns what the search may conclude from a level.
pub(crate) const fn told(level: &Level) -> Told {
    match level.verdict {
        Verdict::Met => Told::Met,
        Verdict::Missed => Told::Missed,
        Verdict::Open => Told::Open,
        Verdict::Unsent => Told::Unsent,
    }
}

/// Returns the verdict, and the cause if it is neither met nor missed.
///
/// A generator that could not send the load is checked first: the answers to another load say nothing. An unknown
/// median is no reason here, because the answers of an overloaded target come in one burst.
fn verdict(asked: Asked<'_>, outcome: &Outcome, reasons: &[Reason]) -> (Verdict, Option<String>) {
    let cause_of = |wanted: fn(&Reason) -> bool| {
        let found: Vec<Reason> = reasons.iter().filter(|reason| wanted(reason)).cloned().collect();
        let first = found.first()?.to_string();
        Some(Headline::of(&found).map_or(first, |headline| headline.cause))
    };
    if let Some(cause) = cause_of(is_unsent) {
        return (Verdict::Unsent, Some(cause));
    }
    let spoiled = match asked.rule {
        Rule::Bounds => cause_of(|reason| matches!(reason, Reason::NoRequests)),
        Rule::Strict => cause_of(|reason| !matches!(reason, Reason::Median { .. })),
    };
    if let Some(cause) = spoiled {
        return (Verdict::Open, Some(cause));
    }
    let judgements: Vec<_> = objective::judged(asked, outcome).collect();
    let any = |verdict| judgements.iter().find(|(_, judgement)| judgement.verdict == verdict);
    if any(objective::Verdict::Missed).is_some() {
        return (Verdict::Missed, None);
    }
    any(objective::Verdict::Inconclusive).map_or((Verdict::Met, None), |(objective, judgement)| {
        (Verdict::Open, Some(format!("{objective}: {}", judgement.doubt())))
    })
}

/// Returns true for a load that the generator did not send as it was meant.
const fn is_unsent(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Burst { .. } | Reason::Impeded { .. } | Reason::Rate { .. } | Reason::Unsent { .. }
    )
}
