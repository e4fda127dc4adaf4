//! The validity of a run: the evidence that the generator and the host kept up.

use crate::base::clock::us;
use crate::harness::document::extra::Extra;
use crate::harness::document::percentiles::Hiccup;
use crate::harness::document::run::validity;
use crate::harness::document::run::validity::{Gaps, Steady, Validity};
use crate::harness::judge::advice::Controls;
use crate::harness::judge::conditions::Conditions;
use crate::harness::judge::gap_fit::GapFit;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Rule, Ruling};
use crate::harness::judge::steady_state::SteadyState;
use crate::harness::judge::validity::{Reason, Usable};
use crate::harness::record::self_report::SelfReport;
use crate::harness::report::quantiles::{at, tail};

/// Returns the validity of a run with its evidence.
pub(super) fn validity(outcome: &Outcome, rule: Rule, controls: Controls) -> Validity {
    let Conditions { strain, gap_fit, steady, hit_ratios, broker } = &outcome.conditions;
    let hiccup = &outcome.measured.hiccup;
    let ruling = Ruling::of(rule, outcome);
    let usable = Usable::of(&ruling.all()).names();
    let told = |reasons: &[Reason]| {
        reasons.iter().map(|reason| controls.advise(&reason.to_string())).collect()
    };
    Validity {
        valid: ruling.reasons.is_empty(),
        usable: Some(usable.iter().map(ToString::to_string).collect()),
        reasons: told(&ruling.reasons),
        disturbances: told(&ruling.disturbances),
        lag_us: tail(&outcome.all.lag),
        notice_us: tail(&outcome.measured.notice),
        unsent: outcome.measured.tally.unsent,
        generator_cpu_share: outcome.measured.busy_share,
        hiccup_us: Hiccup { p99: at(hiccup, 0.99), p999: at(hiccup, 0.999) },
        pacer_us: Some(tail(&outcome.measured.pacing.rehearsal)),
        broker_hiccup_us: broker.as_ref().and_then(broker_hiccup),
        gaps: gap_fit.as_ref().map(gaps),
        steady: Some(steadiness(steady)),
        hit_ratios: hit_ratios.map(|ratios| [ratios.first, ratios.second]),
        throttled_share: Some(strain.throttled_share),
        major_faults: Some(strain.paging.major_faults),
        swapped_kib: Some(strain.paging.swapped_kib),
        extra: Extra::new(),
    }
}

/// Returns the lateness of the broker's probe, or none if the broker does not report it.
fn broker_hiccup(report: &SelfReport) -> Option<Hiccup> {
    let at = |quantile| report.wakeups.quantile_ns(quantile).map(us);
    (report.wakeups.count() > 0).then(|| Hiccup { p99: at(0.99), p999: at(0.999) })
}

/// Returns the goodness of fit of the gaps between requests.
const fn gaps(fit: &GapFit) -> Gaps {
    let GapFit { gaps, acted, intended, limit } = *fit;
    Gaps { count: gaps as u64, distance: acted, distance_intended: intended, limit }
}

/// Returns the verdict on the steady state, from the p95 of each second.
fn steadiness(state: &SteadyState) -> Steady {
    let (state, warm_up_s, halves_p95_us) = match state {
        SteadyState::NotExpected => (validity::SteadyState::NotExpected, None, None),
        SteadyState::TooShort { .. } => (validity::SteadyState::TooShort, None, None),
        SteadyState::Steady { warm_up_s } => {
            (validity::SteadyState::Steady, Some(*warm_up_s as u64), None)
        }
        SteadyState::Drifting { drift, .. } => {
            let halves = [drift.first / 1000.0, drift.second / 1000.0];
            (validity::SteadyState::Drifting, None, Some(halves))
        }
    };
    Steady { state, warm_up_s, halves_p95_us }
}
