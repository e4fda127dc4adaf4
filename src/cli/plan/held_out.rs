//! Measures runs that the model was not fitted to, and repeats parts of the calibration beside them.
//!
//! The speed of a shared machine drifts by a fifth and more within minutes. A model with costs from ten
//! minutes ago would be judged by that drift, not by its predictions of mixes and storms.

use std::time::Duration;

use super::bench::Bench;
use super::error::MeasureError;
use super::level_count::{AGAIN_EVERY, STORMS};
use super::prediction::Prediction;
use super::watch::LevelWatch;
use crate::base::process::raise_file_limit;
use crate::harness::document::plan::held_out::{Drift, HeldOut};
use crate::harness::plan::cost_interval::CostInterval;
use crate::harness::plan::fit::{Reference, Side};
use crate::harness::plan::held_out::{Compared, Mix};
use crate::harness::plan::level::Level;
use crate::harness::plan::plan_json;
use crate::harness::plan::search::{Found, bracket};
use crate::harness::scenario::run_plan::Pausing;
use crate::harness::scenario::spec::{RunSpec, Scenario, World};
use crate::harness::session::subject::Subject;
use crate::harness::stats::median::median;

/// Share of the keys that fits into the cache of the mix. With it, so many requests miss that hits and
/// mints use about equal shares of the core.
const CACHE_SHARE: f64 = 0.5;
/// Load of a storm as a multiple of the capacity of the lanes. Near 1, a few per cent of the cost would
/// decide if there is a queue at all, so the length of the storm would say little about the model.
const STORM_OVERLOAD: f64 = 5.0;
/// Shortest duration that `run` accepts.
const STORM_MIN: Duration = Duration::from_millis(100);
/// File descriptors reserved for other uses than connections.
const OTHER_FILES: f64 = 200.0;
/// Largest ratio of the next missed rate to the highest rate that met the objective. Beyond it, the rate
/// of a mix is not known well enough to check a model.
const BRACKET_MAX: f64 = 1.5;

/// Divisor of the highest rate of hits for the first rate of the mix, of which mints take a half.
const MIX_START: f64 = 4.0;

/// Side of the calibration, measured again at a rate that it has met.
#[derive(Clone)]
struct Again<'a> {
    side: &'a Side,
    reference: Option<Reference>,
    taken_us: Vec<f64>,
}

impl<'a> Again<'a> {
    fn of(side: &'a Side) -> Self {
        Self { side, reference: side.reference(), taken_us: Vec::new() }
    }

    /// Returns the costs of a request now as multiples of its cost in the calibration.
    fn each(&self) -> Vec<f64> {
        let of = |reference: Reference| {
            self.taken_us.iter().map(|taken_us| taken_us / reference.core_us).collect()
        };
        self.reference.map_or_else(Vec::new, of)
    }

    /// Returns the median of these, or none if it was not measured again.
    fn times(&self) -> Option<f64> {
        let each = self.each();
        (!each.is_empty()).then(|| median(&each))
    }

    /// Returns the side with its present costs.
    fn drifted(&self) -> Side {
        self.side.drifted(self.times().unwrap_or(1.0))
    }
}

/// Both sides of the calibration, measured again.
struct Sides<'a> {
    hit: Again<'a>,
    mint: Again<'a>,
}

impl<'a> Sides<'a> {
    fn of(hit: &'a Side, mint: &'a Side) -> Self {
        Self { hit: Again::of(hit), mint: Again::of(mint) }
    }

    fn drift(&self) -> Drift {
        Drift { hit: self.hit.times(), mint: self.mint.times() }
    }

    fn each(&self) -> impl Iterator<Item = f64> {
        self.hit.each().into_iter().chain(self.mint.each())
    }
}

impl Bench<'_> {
    /// Measures the held-out runs and compares them with the model.
    pub(super) fn held_out(&mut self, hit: &Side, mint: &Side) -> Result<HeldOut, MeasureError> {
        let (mut beside_storms, mut beside_mix) = (Sides::of(hit, mint), Sides::of(hit, mint));
        self.count.next_stage();
        let within = self.storm_length(mint);
        let storms = self.storms(within, &mut beside_storms)?;
        self.count.next_stage();
        let mix = self.mix(&mut beside_mix)?;
        let costs_again: Vec<f64> = beside_storms.each().chain(beside_mix.each()).collect();
        let costs = CostInterval::of(&costs_again);
        let limit_ns = self.args.slo.limit_ns();
        let json = |storm: &Storm| plan_json::level(&storm.level, &storm.level.verdict(limit_ns));
        let mut held_out = HeldOut {
            mix: plan_json::levels(&mix),
            mix_drift: beside_mix.drift(),
            storms: storms.iter().map(json).collect(),
            storm_drift: beside_storms.drift(),
            costs_again,
            ..HeldOut::default()
        };
        let storms = self.compare_storms(&storms, within, &beside_storms, costs);
        held_out.compared.extend(storms);
        match self.compare_mix(&mix, &beside_mix, costs, &mut held_out.misses) {
            Ok(compared) => held_out.compared.extend(compared),
            Err(note) => held_out.notes.push(note),
        }
        Ok(held_out)
    }

    /// Measures a mix of hits and mints on one core, with a cache that is too small for its keys.
    fn mix(&mut self, again: &mut Sides<'_>) -> Result<Found, MeasureError> {
        let entries = format!("{:.0}", self.scale.keys() * CACHE_SHARE);
        let extra = ["--cache-entries".to_owned(), entries];
        let mut of_hits = self.filled("hits again", &[])?;
        let mut subject = self.filled("a mix", &extra)?;
        let (start, rate_max) = self.scale.mix();
        let start = again.hit.side.rate().map_or(start, |rate| start.max(rate / MIX_START));
        let mut levels = 0_usize;
        bracket(self.args.terms(start, rate_max), &mut |rate| {
            if levels.is_multiple_of(AGAIN_EVERY) {
                self.hits_again(&mut of_hits, &mut again.hit)?;
                self.mints_again(&mut again.mint)?;
            }
            levels += 1;
            let spec = self.steady_at(rate)?;
            self.searched(&spec, &mut subject, "a mix")
        })
    }

    /// Compares the highest rate of the mix with the model, or says why there is no such rate.
    fn compare_mix(
        &self,
        found: &Found,
        again: &Sides<'_>,
        costs: CostInterval,
        misses: &mut Option<f64>,
    ) -> Result<Option<Compared>, String> {
        let borne = || found.probes.iter().filter(|probe| !probe.level.is_left_over());
        let shares: Vec<f64> = borne().filter_map(|probe| probe.level.misses).collect();
        if shares.is_empty() {
            return Err("no level of the mix was measured to its end".to_owned());
        }
        // Under overload, frequent callers wait longest, so a larger share of the answers is minted.
        let share = median(&shares);
        *misses = Some(share);
        let measured = decided(found)?;
        let (start, rate_max) = self.scale.mix();
        let (terms, length) = (self.args.terms(start, rate_max), self.scale.duration);
        let mix = Mix { misses: share, quantile: self.args.slo.quantile(), length };
        let left = Left::of(found.probes.iter().map(|probe| &probe.level));
        let rate = |hit: &Side, mint: &Side, left: f64| {
            Prediction::of(hit, mint).rate_of_mix(left, &mix, terms)
        };
        let at = |times: f64, left: f64| {
            let [hit, mint] = [&again.hit, &again.mint].map(|again| again.side.drifted(times));
            rate(&hit, &mint, left)
        };
        let predicted = rate(&again.hit.drifted(), &again.mint.drifted(), left.likely).ok_or(
            "no rate of the mix meets the objective by the model, and one does by the measurement",
        )?;
        let ends = [
            at(costs.high, left.least).unwrap_or(0.0),
            at(costs.low, left.most).unwrap_or(predicted),
        ];
        let what = "highest rate of a mix within the objective";
        let compared = Compared::of(what, "requests/s", predicted, measured);
        Ok(compared.map(|compared| compared.within(ends)))
    }

    /// Measures storms in which all VMs boot in a fifth of the time that the lanes need for them.
    fn storms(
        &mut self,
        within: Duration,
        again: &mut Sides<'_>,
    ) -> Result<Vec<Storm>, MeasureError> {
        let mut storms = Vec::new();
        for _ in 0..STORMS {
            self.mints_again(&mut again.mint)?;
            storms.push(self.storm(within)?);
        }
        Ok(storms)
    }

    /// Compares the median storm with the model.
    fn compare_storms(
        &self,
        storms: &[Storm],
        within: Duration,
        again: &Sides<'_>,
        costs: CostInterval,
    ) -> Option<Compared> {
        let middle = |of: fn(&Storm) -> f64| median(&storms.iter().map(of).collect::<Vec<_>>());
        let left = Left::of(storms.iter().map(|storm| &storm.level));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
        let tokens = middle(|storm| storm.tokens) as u32;
        let (hit, mint) = (again.hit.side, &again.mint);
        let p99_ms = |mint: &Side, left: f64| {
            Prediction::of(hit, mint).storm_p99_ns(left, tokens, within, self.args.seed) / 1e6
        };
        let at = |times: f64, left: f64| p99_ms(&mint.side.drifted(times), left);
        let predicted = p99_ms(&mint.drifted(), left.likely);
        let ends = [at(costs.high, left.least), at(costs.low, left.most)];
        let measured = middle(|storm| storm.level.p99_ns) / 1e6;
        let compared = Compared::of("p99 of a boot storm", "ms", predicted, measured);
        compared.map(|compared| compared.within(ends))
    }

    fn hits_again(
        &mut self,
        subject: &mut Subject,
        again: &mut Again<'_>,
    ) -> Result<(), MeasureError> {
        let Some(reference) = again.reference else { return Ok(()) };
        let spec = self.steady_at(reference.rate)?;
        self.again(&spec, subject, again)
    }

    fn mints_again(&mut self, again: &mut Again<'_>) -> Result<(), MeasureError> {
        let Some(reference) = again.reference else { return Ok(()) };
        let (spec, mut subject) = self.cold(reference.rate)?;
        self.again(&spec, &mut subject, again)
    }

    fn again(
        &mut self,
        spec: &RunSpec,
        subject: &mut Subject,
        again: &mut Again<'_>,
    ) -> Result<(), MeasureError> {
        let mut watch = LevelWatch::new(None);
        let outcome = self.measured(spec, subject, "the calibration again", &mut watch)?;
        let offered = spec.constant_rate().unwrap_or_default();
        again.taken_us.extend(self.level_of(&outcome, offered, &watch).cpu_us);
        Ok(())
    }

    /// Returns the number of VMs of a storm: as many as there may be connections, within the limits of
    /// the scale.
    fn storm_vms(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let files = raise_file_limit() as f64 - OTHER_FILES;
        self.scale.storm.min(files).max(50.0)
    }

    fn storm_length(&self, mint: &Side) -> Duration {
        let lanes_s = self.storm_vms() * mint.cost.core_us / 1e6;
        Duration::from_secs_f64(lanes_s / STORM_OVERLOAD).max(STORM_MIN)
    }

    fn storm(&mut self, within: Duration) -> Result<Storm, MeasureError> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "50 to 8000")]
        let vms = self.storm_vms() as u32;
        let rate = f64::from(vms) / within.as_secs_f64();
        let spec = RunSpec {
            warmup: Duration::ZERO,
            world: World { vms: Some(vms), user_assigned: Some(1) },
            connections: Some(vms),
            // A storm that pauses would be another storm.
            pausing: Pausing::Never,
            ..self.spec(Scenario::Mint)?.at_rate(rate).lasting(within)
        };
        let plan = self.resolve(&spec)?.plan;
        let mut subject = Subject::start(&plan, &self.alg(), self.stop)?;
        let mut watch = LevelWatch::new(None);
        let outcome = self.measured(&spec, &mut subject, "a boot storm", &mut watch)?;
        let level = self.level_of(&outcome, rate, &watch);
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let tokens = outcome.measured.tally.scheduled as f64;
        Ok(Storm { level, tokens })
    }
}

/// Measured storm.
struct Storm {
    level: Level,
    tokens: f64,
}

/// Share of the core that other programs left during some levels.
struct Left {
    least: f64,
    likely: f64,
    most: f64,
}

impl Left {
    fn of<'a>(levels: impl Iterator<Item = &'a Level>) -> Self {
        let left: Vec<f64> = levels.map(Level::left).collect();
        let end = |of: fn(f64, f64) -> f64| left.iter().copied().reduce(of).unwrap_or(1.0);
        let likely = if left.is_empty() { 1.0 } else { median(&left) };
        Self { least: end(f64::min), likely, most: end(f64::max) }
    }
}

/// Returns the highest rate that met the objective, or says why it is not known well enough.
fn decided(found: &Found) -> Result<f64, String> {
    let none = || "no measured rate of the mix is sure to meet the objective".to_owned();
    let met = found.met.as_ref().ok_or_else(none)?.rate;
    let highest = found.missed.as_ref().map(|step| step.rate);
    let Some(beyond) = highest.or_else(|| found.undecided().reduce(f64::max)) else {
        return Ok(met);
    };
    if highest.is_none() || beyond > BRACKET_MAX * met {
        return Err(format!(
            "the highest rate of the mix within the objective is {met:.0}/s or more, and nobody can tell up to {beyond:.0}/s"
        ));
    }
    Ok(met)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::plan::level::tests::level;
    use crate::harness::plan::search::{Terms, judge};

    fn found(levels: Vec<Level>) -> Found {
        let limit_ns = 2e6;
        let terms =
            Terms { limit_ns, start: 1.0, rate_max: 1e9, resolution: 1.1, repeats: 1, seed: 1 };
        judge(terms, levels)
    }

    #[test]
    fn a_rate_of_a_mix_with_a_wide_bracket_checks_no_model() {
        let between = |rate| Level { lower_ns: Some(1e6), ..level(rate, 3e6) };
        let narrow = found(vec![level(1000.0, 1e6), between(1100.0), level(1200.0, 3e6)]);
        assert_eq!(decided(&narrow), Ok(1000.0));
        let wide = found(vec![level(1000.0, 1e6), between(1100.0), level(1600.0, 3e6)]);
        assert!(decided(&wide).unwrap_err().contains("nobody can tell up to 1600/s"));
        assert!(decided(&found(vec![between(1000.0)])).is_err());
        let open = found(vec![level(1000.0, 1e6), between(1100.0)]);
        assert!(decided(&open).unwrap_err().contains("nobody can tell up to 1100/s"));
        // The largest rate that a plan tries, also by the model.
        assert_eq!(decided(&found(vec![level(1000.0, 1e6)])), Ok(1000.0));
    }
}
