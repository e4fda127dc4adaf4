//! Traffic in phases: each with its own rate over time and its own mix, after a warm-up.
//!
//! Phases that follow each other are schedules of their own. For Poisson arrivals that is the same as
//! one process whose rate changes: what happens in one stretch says nothing of the next.

use std::iter::Peekable;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::mix::{self, Drawn, Mixer, NewKeys, Share, Wish};
use super::profile::Profile;
use super::replay::{Row, Trace};
use super::schedule::{Arrivals, Schedule};
use super::workload::Ask;
use crate::world::synthetic::Synthetic;

/// What is sent, in order, and what must hold of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Phases {
    /// Before the measured part; its mix is that of the first phase.
    pub warmup: Option<Phase>,
    /// The measured part.
    pub phases: Vec<Phase>,
    /// What must hold beside what always must.
    pub expect: Vec<Expectation>,
    /// What our broker has to be told: arguments of `serve`.
    pub serve_args: Vec<String>,
    /// Whether no token can expire before the run is over, so that no key is minted twice.
    pub tokens_outlive_run: bool,
    /// Of the schedules and of what is asked.
    pub seed: u64,
}

/// A stretch of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name in results; unique within a run.
    pub name: String,
    /// How requests are spaced.
    pub arrivals: Arrivals,
    /// When requests start.
    pub timing: Timing,
    /// Its length in nanoseconds.
    pub length_ns: u64,
    /// What they ask for.
    pub mix: Vec<Share>,
}

/// When the requests of a phase start.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// By a rate over time.
    Rate(Profile),
    /// As recorded; what the trace does not say of a request is drawn from the mix.
    Replay {
        /// What was recorded.
        trace: Trace,
        /// How much faster than recorded.
        speed: f64,
    },
}

/// What must hold in a run of our own broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// After the warm-up nobody waits for a token, but for those who ask for a new key.
    Hits,
    /// After the warm-up every key is renewed at least once in the background.
    Refreshes,
}

impl Phase {
    /// Requests per second on average, as meant.
    pub fn mean_rate(&self) -> f64 {
        self.total() * 1e9 / float(self.length_ns.max(1))
    }

    /// Requests that are meant.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn total(&self) -> f64 {
        match &self.timing {
            Timing::Rate(profile) => profile.total(),
            Timing::Replay { .. } => self.replayed().count() as f64,
        }
    }

    /// Requests that are meant in each step of `step_ns`, which is above 0; the last may be shorter.
    pub fn meant(&self, step_ns: u64) -> Vec<f64> {
        let steps = 0..self.length_ns.div_ceil(step_ns);
        match &self.timing {
            Timing::Rate(profile) => steps
                .map(|step| {
                    profile.integral((step + 1) * step_ns) - profile.integral(step * step_ns)
                })
                .collect(),
            Timing::Replay { .. } => {
                let mut counts = vec![0.0; steps.count()];
                for (at_ns, _) in self.replayed() {
                    let step = usize::try_from(at_ns / step_ns).unwrap_or(usize::MAX);
                    counts.get_mut(step).into_iter().for_each(|count| *count += 1.0);
                }
                counts
            }
        }
    }

    /// The rate in requests per second, where it is the same throughout.
    pub fn level(&self) -> Option<f64> {
        match &self.timing {
            Timing::Rate(profile) => profile.level(),
            Timing::Replay { .. } => None,
        }
    }

    /// How its requests are spaced, for reports.
    pub const fn spacing(&self) -> &'static str {
        match self.timing {
            Timing::Rate(_) => self.arrivals.as_str(),
            Timing::Replay { .. } => "replay",
        }
    }

    /// The recorded requests that fall into it, with their times.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are positive and far below 2^53 ns"
    )]
    fn replayed(&self) -> impl Iterator<Item = (u64, Row)> {
        let (rows, speed): (&[Row], f64) = match &self.timing {
            Timing::Replay { trace, speed } => (trace.rows(), *speed),
            Timing::Rate(_) => (&[], 1.0),
        };
        let timed = rows.iter().map(move |row| ((float(row.at_ns) / speed) as u64, *row));
        timed.take_while(|(at_ns, _)| *at_ns < self.length_ns)
    }

    /// Its share of requests for new keys, and the keys that takes at most: six standard deviations
    /// above the mean of a Poisson stream.
    fn new_keys_max(&self) -> f64 {
        let weights: f64 = self.mix.iter().map(|share| share.weight).sum();
        let of_share = |share: &Share| {
            let mix::Kind::New { repeat } = share.kind else { return 0.0 };
            let mean = self.total() * share.weight / weights.max(f64::MIN_POSITIVE);
            ((mean + 6.0 * mean.sqrt()) / f64::from(repeat.max(1))).ceil()
        };
        self.mix.iter().map(of_share).sum()
    }
}

impl Phases {
    /// All stretches in order, the warm-up first.
    fn stages(&self) -> impl Iterator<Item = &Phase> {
        self.warmup.iter().chain(&self.phases)
    }

    fn shares(&self) -> impl Iterator<Item = &Share> {
        self.stages().flat_map(|phase| &phase.mix)
    }

    /// Whether every request is for a key that nobody has asked for.
    pub fn only_new(&self) -> bool {
        self.shares().all(|share| matches!(share.kind, mix::Kind::New { repeat: 1 }))
    }

    /// Whether some requests are for new keys.
    pub fn any_new(&self) -> bool {
        self.shares().any(Share::is_new)
    }

    /// New keys that are needed at most, and those that there are.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 10^7 x 2 days"
    )]
    pub fn new_keys(&self, world: &Synthetic) -> (u64, u64) {
        let needed: f64 = self.stages().map(Phase::new_keys_max).sum();
        let there = self.new_wishes(world).len() as u64 * u64::from(world.vms);
        (needed as u64, there)
    }

    /// What the shares that come back to their keys ask of each VM.
    fn old_wishes(&self, world: &Synthetic, wanted: impl Fn(&Share) -> bool) -> Vec<Wish> {
        let shares = self.shares().filter(|share| wanted(share));
        let mut wishes: Vec<Wish> = shares.flat_map(|share| share.wishes(world)).collect();
        wishes.sort_unstable_by_key(|(slot, resource)| (*resource, *slot));
        wishes.dedup();
        wishes
    }

    /// What only new keys are made of.
    fn new_wishes(&self, world: &Synthetic) -> Vec<Wish> {
        let old = self.old_wishes(world, |_| true);
        mix::all_wishes(world).filter(|wish| !old.contains(wish)).collect()
    }

    /// Distinct keys that are not new ones.
    pub fn old_keys(&self, world: &Synthetic) -> u64 {
        self.old_wishes(world, |_| true).len() as u64 * u64::from(world.vms)
    }

    /// How many keys the warm-up asks for once each, of how many; none where keys are cold on purpose.
    ///
    /// Half of the warm-up at most: the other half is for the queue of mints to drain.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 10^7 x 1 day"
    )]
    pub fn filled(&self, world: &Synthetic) -> Option<(u64, u64)> {
        let cold = self.shares().any(|share| matches!(share.kind, mix::Kind::Turn { .. }));
        let keys = self.old_wishes(world, Share::returns).len() as u64 * u64::from(world.vms);
        let half = self.warmup.as_ref().map_or(0, |phase| (phase.total() / 2.0) as u64);
        (keys > 0 && !cold).then_some((half.min(keys), keys))
    }

    /// Where each phase ends, in nanoseconds from the start of the measured part; nothing where one
    /// phase is all of it.
    pub fn ends_ns(&self) -> Vec<u64> {
        let mut end_ns = 0;
        let ends = self.phases.iter().map(|phase| {
            end_ns += phase.length_ns;
            end_ns
        });
        if self.phases.len() > 1 { ends.collect() } else { Vec::new() }
    }
}

/// The arrivals of phases.
#[derive(Debug)]
pub(super) struct Staged {
    phases: Arc<Phases>,
    world: Synthetic,
    /// The next stage to begin, and when it does.
    next: usize,
    begins_ns: u64,
    running: Option<Running>,
    /// Keys that are asked for once each before anything else.
    fill: std::ops::Range<u64>,
    fill_wishes: Vec<Wish>,
    keys: NewKeys,
    new_measured: u64,
}

#[derive(Debug)]
struct Running {
    begins_ns: u64,
    measured: bool,
    times: Times,
    mixer: Mixer,
}

#[derive(Debug)]
enum Times {
    Schedule(Schedule),
    Replay(Peekable<std::vec::IntoIter<(u64, Row)>>),
}

impl Times {
    fn next(&mut self) -> Option<(u64, Option<Row>)> {
        match self {
            Self::Schedule(schedule) => schedule.next().map(|at_ns| (at_ns, None)),
            Self::Replay(rows) => rows.next().map(|(at_ns, row)| (at_ns, Some(row))),
        }
    }
}

impl Staged {
    pub(super) fn new(phases: Arc<Phases>, world: &Synthetic) -> Self {
        let filled = phases.filled(world).map_or(0, |(filled, _)| filled);
        Self {
            world: *world,
            next: 0,
            begins_ns: 0,
            running: None,
            fill: 0..filled,
            fill_wishes: phases.old_wishes(world, Share::returns),
            keys: NewKeys { wishes: phases.new_wishes(world), next: 0 },
            new_measured: 0,
            phases,
        }
    }

    /// Requests so far that were for new keys: of the measured part.
    pub(super) const fn new_measured(&self) -> u64 {
        self.new_measured
    }

    /// Different new keys so far, warm-up included.
    pub(super) const fn new_keys(&self) -> u64 {
        self.keys.next
    }

    fn begin(&mut self) -> Option<Running> {
        let phases = Arc::clone(&self.phases);
        let phase = phases.stages().nth(self.next)?;
        // Odd and far from regular, so that the streams of stages have nothing in common.
        let seed = phases.seed.wrapping_add((self.next as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let times = match &phase.timing {
            Timing::Rate(profile) => {
                Times::Schedule(Schedule::over(phase.arrivals, profile.clone(), seed))
            }
            Timing::Replay { .. } => {
                let rows: Vec<(u64, Row)> = phase.replayed().collect();
                Times::Replay(rows.into_iter().peekable())
            }
        };
        // Another stream than the schedule's, which is seeded with the seed itself.
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x005A_6970_6600);
        let measured = self.next > 0 || phases.warmup.is_none();
        let mixer = Mixer::new(&phase.mix, &self.world, rng);
        let running = Running { begins_ns: self.begins_ns, measured, times, mixer };
        self.next += 1;
        self.begins_ns += phase.length_ns;
        Some(running)
    }

    /// The next request: when, and for what.
    pub(super) fn next(&mut self) -> Option<(u64, Ask)> {
        loop {
            if self.running.is_none() {
                self.running = Some(self.begin()?);
            }
            let running = self.running.as_mut()?;
            let Some((at_ns, row)) = running.times.next() else {
                self.running = None;
                continue;
            };
            let at_ns = running.begins_ns + at_ns;
            if let Some(index) = self.fill.next() {
                return Some((at_ns, mix::nth_key(&self.world, &self.fill_wishes, index)));
            }
            let Drawn { ask, is_new } = running.mixer.draw(&mut self.keys);
            self.new_measured += u64::from(is_new && running.measured);
            return Some((at_ns, row.map_or(ask, |row| recorded(ask, &row))));
        }
    }
}

/// What was recorded, where it was.
fn recorded(drawn: Ask, row: &Row) -> Ask {
    Ask {
        vm: row.vm.unwrap_or(drawn.vm),
        selector: row.identity.map_or(drawn.selector, mix::selector),
        resource: row.resource.unwrap_or(drawn.resource),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
const fn float(ns: u64) -> f64 {
    ns as f64
}
