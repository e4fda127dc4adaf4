//! Measures runs that the model was not fitted to, and repeats parts of the calibration beside them.
//!
//! The speed of a shared machine drifts by a fifth and more within minutes. A model with costs from ten
//! minutes ago would be judged by that drift, not by its predictions of mixes and storms.

use std::time::Duration;

use super::bench::Bench;
use super::calibration::quiet;
use super::error::MeasureError;
use super::level_count::{AGAIN_EVERY, STORMS};
use super::watch::LevelWatch;
use crate::base::process::raise_file_limit;
use crate::harness::document::plan::held_out::{Drift, HeldOut};
use crate::harness::plan::fit::{Reference, Side, costs, costs_at};
use crate::harness::plan::held_out;
use crate::harness::plan::held_out::Mix;
use crate::harness::plan::level::Level;
use crate::harness::plan::plan_json;
use crate::harness::plan::search::Found;
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
/// Side of the calibration, measured again at a rate that it has met.
struct Again<'a> {
    side: &'a Side,
    reference: Option<Reference>,
    taken_us: Vec<f64>,
}

impl<'a> Again<'a> {
    fn of(side: &'a Side) -> Self {
        Self { side, reference: side.reference(), taken_us: Vec::new() }
    }

    /// Returns the cost of a request now as a multiple of its cost in the calibration, or none if it was
    /// not measured again.
    fn times(&self) -> Option<f64> {
        let reference = self.reference.filter(|_| !self.taken_us.is_empty())?;
        Some(median(&self.taken_us) / reference.core_us)
    }

    /// Returns the side with its present costs.
    fn drifted(&self) -> Side {
        self.side.drifted(self.times().unwrap_or(1.0))
    }
}

impl Bench<'_> {
    /// Measures the held-out runs and compares them with the model.
    pub(super) fn held_out(&mut self, hit: &Side, mint: &Side) -> Result<HeldOut, MeasureError> {
        let mut held_out = HeldOut::default();
        self.count.next_stage();
        self.storms(hit, mint, &mut held_out)?;
        self.count.next_stage();
        self.mix(hit, mint, &mut held_out)?;
        Ok(held_out)
    }

    /// Measures a mix of hits and mints on one core, with a cache that is too small for its keys.
    fn mix(&mut self, hit: &Side, mint: &Side, into: &mut HeldOut) -> Result<(), MeasureError> {
        let entries = format!("{:.0}", self.scale.keys() * CACHE_SHARE);
        let extra = ["--cache-entries".to_owned(), entries];
        let (mut hit, mut mint) = (Again::of(hit), Again::of(mint));
        let mut of_hits = self.filled("hits again", &[])?;
        let mut levels = 0_usize;
        let found = self.steady("a mix", self.scale.mix(), &extra, &mut |bench| {
            if levels.is_multiple_of(AGAIN_EVERY) {
                bench.hits_again(&mut of_hits, &mut hit)?;
                bench.mints_again(&mut mint)?;
            }
            levels += 1;
            Ok(())
        })?;
        into.mix = plan_json::levels(&found);
        into.mix_drift = Drift { hit: hit.times(), mint: mint.times() };
        self.compare_mix(&found, &hit.drifted(), &mint.drifted(), into);
        Ok(())
    }

    fn compare_mix(&self, found: &Found, hit: &Side, mint: &Side, into: &mut HeldOut) {
        let Some(misses) = misses(found) else {
            into.notes.push("no level of the mix was measured to its end".to_owned());
            return;
        };
        into.misses = Some(misses);
        let quiet = quiet(hit, mint);
        let costs = |rate| costs_at(hit, mint, &quiet, rate, misses);
        let (start, rate_max) = self.scale.mix();
        let terms = self.args.terms(start, rate_max);
        let mix = Mix { misses, quantile: self.args.slo.quantile(), length: self.scale.duration };
        let predicted = held_out::mixed_rate(&costs, &mix, terms);
        match (predicted.met, &found.met) {
            (Some(predicted), Some(measured)) => into.compared.extend(held_out::Compared::of(
                "highest rate of a mix within the objective",
                "requests/s",
                predicted.rate,
                measured.rate,
            )),
            (predicted, _) => into.notes.push(format!(
                "{} rate of the mix meets the objective by the model, and {} by the measurement",
                if predicted.is_some() { "a" } else { "no" },
                if found.met.is_some() { "one does" } else { "none does" },
            )),
        }
    }

    /// Measures storms in which all VMs boot in a fifth of the time that the lanes need for them.
    /// Compares the median storm with the model.
    fn storms(&mut self, hit: &Side, mint: &Side, into: &mut HeldOut) -> Result<(), MeasureError> {
        let within = self.storm_length(mint);
        let mut mint = Again::of(mint);
        let mut storms = Vec::new();
        for _ in 0..STORMS {
            self.mints_again(&mut mint)?;
            storms.push(self.storm(within)?);
        }
        let middle = |of: fn(&Storm) -> f64| median(&storms.iter().map(of).collect::<Vec<_>>());
        into.storm_drift = Drift { hit: None, mint: mint.times() };
        let mint = mint.drifted();
        let costs = costs(&hit.cost, &mint.cost, &quiet(hit, &mint), 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
        let tokens = middle(|storm| storm.tokens) as u32;
        let predicted = held_out::storm_p99_ns(&costs, tokens, within, self.args.seed);
        into.compared.extend(held_out::Compared::of(
            "p99 of a boot storm",
            "ms",
            predicted / 1e6,
            middle(|storm| storm.level.p99_ns) / 1e6,
        ));
        let limit_ns = self.args.slo.limit_ns();
        let json = |storm: &Storm| plan_json::level(&storm.level, &storm.level.verdict(limit_ns));
        into.storms = storms.iter().map(json).collect();
        Ok(())
    }

    fn hits_again(
        &mut self,
        subject: &mut Subject,
        again: &mut Again<'_>,
    ) -> Result<(), MeasureError> {
        let Some(reference) = again.reference else { return Ok(()) };
        let spec = self.steady_spec()?.at_rate(reference.rate);
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
        let outcome =
            self.measured(spec, subject, "the calibration again", &mut LevelWatch::new(None))?;
        let offered = spec.constant_rate().unwrap_or_default();
        let level = Level::of(&outcome, offered, &self.args.slo);
        again.taken_us.extend(level.cpu_us);
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
            ..self.spec(Scenario::Mint)?.at_rate(rate).lasting(within)
        };
        let plan = self.resolve(&spec)?.plan;
        let mut subject = Subject::start(&plan, &self.alg(), self.stop)?;
        let mut watch = LevelWatch::new(None);
        let outcome = self.measured(&spec, &mut subject, "a boot storm", &mut watch)?;
        let level = Level::of(&outcome, rate, &self.args.slo);
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

/// Returns the share of misses: the median of the levels without overload. Under overload, frequent
/// callers wait longest, so a larger share of the answers is minted.
fn misses(found: &Found) -> Option<f64> {
    let borne = found.probes.iter().filter(|probe| !probe.level.is_left_over());
    let shares: Vec<f64> = borne.filter_map(|probe| probe.level.misses).collect();
    (!shares.is_empty()).then(|| median(&shares))
}
