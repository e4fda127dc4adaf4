//! Measures the levels of a search with a broker of our own.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::super::run::settings::{Settings, SettingsError};
use super::super::run::{RunArgs, Scenario};
use super::watch::Watch;
use super::{PlanArgs, quiet, terms};
use crate::clock::Clock;
use crate::load::checks::Failure;
use crate::load::session::{Outcome, SessionError, Subject, Watcher, measure};
use crate::load::stop::Stop;
use crate::machine::raise_file_limit;
use crate::plan::fit::{Side, costs, costs_at};
use crate::plan::held_out::{self, Mix};
use crate::plan::level::Level;
use crate::plan::plan_json::{HeldOut, LevelJson};
use crate::plan::search::{Found, search};
use crate::stats::median::median;
use crate::world::synthetic::WELL_KNOWN_RESOURCES;

/// Why a level was not measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the broker gives wrong answers: {0}")]
    Wrong(Failure),
}

impl MeasureError {
    /// Whether it is the broker that failed, and not the attempt to measure it.
    pub(super) const fn blames_broker(&self) -> bool {
        matches!(
            self,
            Self::Wrong(_) | Self::Session(SessionError::Counters(_) | SessionError::Died(_))
        )
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    duration: Duration,
    /// Thousands of connections open in it: near saturation the backlog of that takes two seconds to go.
    warmup: Duration,
    vms: u32,
    /// First and largest rate, for hits and for mints.
    hits: (f64, f64),
    mints: (f64, f64),
    /// Machines that boot at the most.
    storm: f64,
}

impl Scale {
    fn of(args: &PlanArgs) -> Self {
        let scale = if args.quick { Self::QUICK } else { Self::WHOLE };
        Self { duration: args.levels_duration.unwrap_or(scale.duration), ..scale }
    }

    const WHOLE: Self = Self {
        duration: Duration::from_secs(10),
        warmup: Duration::from_secs(4),
        vms: 1000,
        hits: (1000.0, 1e6),
        mints: (50.0, 1e5),
        // They must fit in the broker's mint queue.
        storm: 8000.0,
    };

    const QUICK: Self = Self {
        duration: Duration::from_secs(1),
        warmup: Duration::from_millis(200),
        vms: 50,
        hits: (400.0, 3200.0),
        mints: (50.0, 400.0),
        storm: 500.0,
    };
}

/// User-assigned identities of each VM: three keys with the VM's own, as in `run steady`.
const HIT_IDENTITIES: u32 = 2;
/// As in `run mint`; more where a level needs more keys.
const MINT_IDENTITIES: u32 = 20;
/// What is left of the keys in a cache that is too small: so many requests miss that hits and mints take
/// about as much of the core.
const CACHE_SHARE: f64 = 0.5;
/// Connections of each VM. With one, a popular VM would wait for its own answers long before the broker
/// is at its limit.
const CONNECTIONS_EACH: u32 = 4;
/// A storm brings so many times what the lanes can do. Near one its length would say little of the model:
/// a few per cent of a cost decide whether there is a queue at all.
const STORM_OVERLOAD: f64 = 5.0;
/// Storms are short, and the speed of a shared machine changes by a third from one to the next.
const STORMS: usize = 9;
/// The shortest load that `run` takes.
const STORM_MIN: Duration = Duration::from_millis(100);
/// Longer than anything waits in a level whose rate is twice what the broker can do. What is given up is
/// minted all the same: it would be missing from the pace, and the cost of a mint too high.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Between levels: queues drain, connections close.
const COOL_DOWN: Duration = Duration::from_millis(300);
/// Answers that are verified after each level.
const SAMPLES: usize = 100;
/// Room for what is no connection of the load.
const OTHER_FILES: f64 = 200.0;

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Where levels are measured.
pub(super) struct Bench<'a> {
    args: &'a PlanArgs,
    clock: &'a dyn Clock,
    stop: &'a Arc<Stop>,
    scale: Scale,
    bar: ProgressBar,
    levels: u64,
    notes: Vec<String>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(args: &'a PlanArgs, clock: &'a dyn Clock, stop: &'a Arc<Stop>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(2));
        Self { args, clock, stop, scale: Scale::of(args), bar, levels: 0, notes: Vec::new() }
    }

    /// What the settings of the levels had to say, once.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// The highest rate of hits.
    pub(super) fn hits(&mut self) -> Result<Found, MeasureError> {
        let (start, rate_max) = self.scale.hits;
        self.steady("hits", start, rate_max, &[])
    }

    /// Searches with `steady` on one broker, whose cache is filled first.
    fn steady(
        &mut self,
        name: &str,
        start: f64,
        rate_max: f64,
        extra: &[String],
    ) -> Result<Found, MeasureError> {
        let keys = f64::from(self.scale.vms) * f64::from(HIT_IDENTITIES + 1);
        // Every key once within the first half of the warm-up, at a rate that lanes can follow.
        let fill = RunArgs {
            rate: Some((keys / 2.0).min(1000.0)),
            warmup: Some(Duration::from_secs_f64(keys * 2.0 / (keys / 2.0).min(1000.0))),
            duration: Some(Duration::from_millis(200)),
            ..self.steady_args()
        };
        let Settings { plan, notes } = self.settings(&fill)?;
        if self.notes.is_empty() {
            self.notes = notes;
        }
        let mut subject = Subject::start(&plan, &[self.alg(), extra.to_vec()].concat(), self.stop)?;
        self.level(&fill, &mut subject, name)?;
        let terms = terms(self.args, start, rate_max);
        search(terms, &mut |rate| {
            let args = RunArgs { rate: Some(rate), ..self.steady_args() };
            self.level(&args, &mut subject, name)
        })
    }

    /// The highest rate of mints: a broker for each level, since a key is cold only once.
    pub(super) fn mints(&mut self) -> Result<Found, MeasureError> {
        let (start, rate_max) = self.scale.mints;
        let terms = terms(self.args, start, rate_max);
        search(terms, &mut |rate| {
            let args = RunArgs { rate: Some(rate), ..self.run_args(Scenario::Mint) };
            let args = RunArgs { user_assigned: Some(identities(&args)), ..args };
            let plan = self.settings(&args)?.plan;
            let mut subject = Subject::start(&plan, &self.alg(), self.stop)?;
            self.level(&args, &mut subject, "mints")
        })
    }

    fn steady_args(&self) -> RunArgs {
        let connections = Some(self.scale.vms * CONNECTIONS_EACH);
        RunArgs { connections, ..self.run_args(Scenario::Steady) }
    }

    fn run_args(&self, scenario: Scenario) -> RunArgs {
        RunArgs {
            warmup: Some(self.scale.warmup),
            duration: Some(self.scale.duration),
            vms: Some(self.scale.vms),
            user_assigned: Some(HIT_IDENTITIES),
            timeout: TIMEOUT,
            samples: SAMPLES,
            // Levels are independent: none repeats the arrivals of another.
            seed: self.args.seed.wrapping_add(self.levels),
            ..RunArgs::of(scenario)
        }
    }

    /// Levels differ in the seed of their arrivals, but not of the world that the broker has.
    fn settings(&self, args: &RunArgs) -> Result<Settings, SettingsError> {
        let mut settings = Settings::resolve(args)?;
        settings.plan.world.seed = self.args.seed;
        Ok(settings)
    }

    fn alg(&self) -> Vec<String> {
        self.args.alg.iter().flat_map(|alg| ["--alg".to_owned(), alg.clone()]).collect()
    }

    fn level(
        &mut self,
        args: &RunArgs,
        subject: &mut Subject,
        name: &str,
    ) -> Result<Level, MeasureError> {
        let offered = args.rate.unwrap_or_default();
        let mut watch = Watch::new(Some(&self.args.slo));
        match self.measured(args, subject, name, &mut watch) {
            Ok(outcome) => Ok(Level::of(&outcome, offered, &self.args.slo)),
            Err(_) if watch.hopeless => Ok(watch.level(offered)),
            Err(error) => Err(error),
        }
    }

    fn measured(
        &mut self,
        args: &RunArgs,
        subject: &mut Subject,
        name: &str,
        watch: &mut Watch,
    ) -> Result<Outcome, MeasureError> {
        let plan = self.settings(args)?.plan;
        self.levels += 1;
        self.bar.set_message(format!("{name} at {:.0}/s", args.rate.unwrap_or_default()));
        self.bar.tick();
        std::thread::sleep(COOL_DOWN);
        let watcher = Watcher { sink: watch, observe: &mut |_| self.bar.tick() };
        let outcome = measure(&plan, subject, self.clock, self.stop, watcher)?;
        // Errors are what a level beyond the capacity has; wrong answers are not.
        let wrong = |failure: &&Failure| matches!(failure, Failure::Answers(_));
        match outcome.failures.iter().find(wrong) {
            Some(failure) => Err(MeasureError::Wrong(failure.clone())),
            None => Ok(outcome),
        }
    }

    /// Measures what the model has not seen, and compares.
    pub(super) fn held_out(&mut self, hit: &Side, mint: &Side) -> Result<HeldOut, MeasureError> {
        let mut held_out = HeldOut::default();
        // Right after the mints, since the machine's speed drifts.
        self.storms(hit, mint, &mut held_out)?;
        self.mix(hit, mint, &mut held_out)?;
        Ok(held_out)
    }

    /// A cache that is too small for its keys: hits and mints on one core.
    fn mix(&mut self, hit: &Side, mint: &Side, into: &mut HeldOut) -> Result<(), MeasureError> {
        let keys = f64::from(self.scale.vms) * f64::from(HIT_IDENTITIES + 1);
        let entries = format!("{:.0}", keys * CACHE_SHARE);
        let (start, rate_max) = (self.scale.mints.0 * 4.0, self.scale.hits.1);
        let extra = ["--cache-entries".to_owned(), entries];
        let found = self.steady("a mix", start, rate_max, &extra)?;
        into.mix = LevelJson::of_all(&found);
        let Some(misses) = misses(&found) else {
            into.notes.push("no level of the mix was measured to its end".to_owned());
            return Ok(());
        };
        into.misses = Some(misses);
        let quiet = quiet(hit, mint);
        let costs = |rate| costs_at(hit, mint, &quiet, rate, misses);
        let terms = terms(self.args, start, rate_max);
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
        Ok(())
    }

    /// All VMs boot in a fifth of the time that the lanes need for them; the middle of several storms.
    fn storms(&mut self, hit: &Side, mint: &Side, into: &mut HeldOut) -> Result<(), MeasureError> {
        let within = self.storm_length(mint);
        let storms: Vec<Storm> =
            (0..STORMS).map(|_| self.storm(within)).collect::<Result<_, MeasureError>>()?;
        let middle = |of: fn(&Storm) -> f64| median(&storms.iter().map(of).collect::<Vec<_>>());
        let costs = costs(&hit.cost, &mint.cost, &quiet(hit, mint), 1.0);
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
        let json = |storm: &Storm| LevelJson::of(&storm.level, &storm.level.verdict(limit_ns));
        into.storms = storms.iter().map(json).collect();
        Ok(())
    }

    /// As many VMs as there may be connections, within the limits of the scale.
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
        let args = RunArgs {
            rate: Some(rate),
            warmup: Some(Duration::ZERO),
            duration: Some(within),
            vms: Some(vms),
            user_assigned: Some(1),
            connections: Some(vms),
            ..self.run_args(Scenario::Mint)
        };
        let plan = self.settings(&args)?.plan;
        let mut subject = Subject::start(&plan, &self.alg(), self.stop)?;
        let mut watch = Watch::new(None);
        let outcome = self.measured(&args, &mut subject, "a boot storm", &mut watch)?;
        let level = Level::of(&outcome, rate, &self.args.slo);
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let tokens = outcome.measured.tally.scheduled as f64;
        Ok(Storm { level, tokens })
    }
}

/// A storm that was measured.
struct Storm {
    level: Level,
    tokens: f64,
}

/// The share of misses, the middle of the levels that the broker bore: beyond them who asks often waits
/// longest, and what is answered is minted for more often.
fn misses(found: &Found) -> Option<f64> {
    let borne = found.probes.iter().filter(|probe| !probe.level.is_overrun());
    let shares: Vec<f64> = borne.filter_map(|probe| probe.level.misses).collect();
    (!shares.is_empty()).then(|| median(&shares))
}

/// Identities of each VM that a level of mints needs: six standard deviations above its mean.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a few hundred thousand keys"
)]
fn identities(args: &RunArgs) -> u32 {
    let seconds = args.warmup.unwrap_or_default() + args.duration.unwrap_or_default();
    let mean = args.rate.unwrap_or_default() * seconds.as_secs_f64();
    let keys = mean + 6.0 * mean.sqrt() + 1.0;
    let of_one = f64::from(args.vms.unwrap_or(1)) * WELL_KNOWN_RESOURCES.len() as f64;
    ((keys / of_one).ceil() as u32).max(MINT_IDENTITIES)
}
