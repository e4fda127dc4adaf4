//! Builds the parts of `plan.json`.

use super::fit;
use super::level::{self, Cause, Verdict};
use super::search::{Found, Probe, Step};
use crate::harness::document::plan::calibration::{Bracket, Law, Level, LevelVerdict, Point, Side};
use crate::harness::stats::scalability::Fitted;

/// Converts a side of the calibration.
pub(crate) fn side(side: &fit::Side) -> Side {
    let curve = side.found.curve.iter();
    Side {
        rate_per_core: side.rate(),
        bracket: side.found.missed.as_ref().map(bracket),
        undecided: side.found.undecided().collect(),
        generator_limited: side.is_generator_limited(),
        cost: Some(side.cost),
        pace: side.pace(),
        law: side.law.as_ref().ok().map(law),
        law_note: side.law.as_ref().err().map(ToString::to_string),
        knee_elastic: side.knee_elastic,
        knee_kneedle: side.knee_kneedle,
        levels: levels(&side.found),
        curve: curve.map(|step| Point { rate: step.rate, upper_us: step.upper_ns / 1e3 }).collect(),
    }
}

fn bracket(step: &Step) -> Bracket {
    let cause = step.missed.as_ref().map(ToString::to_string).unwrap_or_default();
    Bracket { rate: step.rate, cause }
}

fn law(fitted: &Fitted) -> Law {
    let [lambda_interval, sigma_interval, kappa_interval] =
        fitted.intervals.map(|(low, high)| [low, high]);
    Law {
        lambda: fitted.law.lambda,
        sigma: fitted.law.sigma,
        kappa: fitted.law.kappa,
        lambda_interval,
        sigma_interval,
        kappa_interval,
        ceiling: fitted.law.ceiling(),
        concurrency_measured_max: fitted.measured_max,
    }
}

/// Converts every level of a search.
pub(crate) fn levels(found: &Found) -> Vec<Level> {
    found.probes.iter().map(|probe: &Probe| level(&probe.level, &probe.verdict)).collect()
}

/// Converts a level with its verdict.
pub(crate) fn level(level: &level::Level, verdict: &Verdict) -> Level {
    let (word, cause) = match verdict {
        Verdict::Met => (LevelVerdict::Met, None),
        Verdict::Missed(cause) => (LevelVerdict::Missed, Some(cause.to_string())),
        Verdict::Undecided => (LevelVerdict::CannotTell, Some(Cause::Undecided.to_string())),
    };
    Level {
        rate: level.offered,
        answered: level.answered,
        met: verdict.is_met(),
        cause,
        verdict: word,
        p50_us: level.p50_ns / 1e3,
        p99_us: level.p99_ns / 1e3,
        upper_us: level.upper_ns.map(|ns| ns / 1e3),
        lower_us: level.lower_ns.map(|ns| ns / 1e3),
        errors: level.errors,
        cpu_us_per_request: level.cpu_us,
        core_taken: level.taken,
        paused_share: level.paused,
        concurrency: level.concurrency(),
        noise: level.noise.clone(),
    }
}
