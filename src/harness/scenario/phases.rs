//! Traffic in phases, each with its own rate over time and its own mix, after a warm-up.
//!
//! Each phase has a schedule of its own. For Poisson arrivals this equals one process with a
//! changing rate, because the numbers of arrivals in separate stretches are independent.

use std::num::NonZeroU32;

use super::key::{VmKey, all_vm_keys};
use super::mix::{self, Share};
use super::profile::Profile;
use super::replay::{Row, Trace};
use crate::base::synthetic::Synthetic;
use crate::harness::nanos::Nanos;

/// The traffic of a run in order, and the expectations of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Phases {
    /// The part before the measured part. Its mix is that of the first phase.
    pub warmup: Option<Phase>,
    /// The measured part.
    pub phases: Vec<Phase>,
    /// Expectations beyond those of every run.
    pub expect: Vec<Expectation>,
    /// Further arguments of `serve` for our own broker.
    pub serve_args: Vec<String>,
    /// Identity requests per second that our broker allows each VM, if it limits them. VM 0 asks for more.
    pub limit: Option<NonZeroU32>,
    /// True if no token can expire before the run is over, so that no key is minted twice.
    pub tokens_outlive_run: bool,
    /// Seed of the schedules and of the choice of keys.
    pub seed: u64,
}

/// A stretch of the load with its own rate and mix.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name in results; unique within a run.
    pub name: String,
    /// Spacing of the requests.
    pub arrivals: Arrivals,
    /// Start times of the requests.
    pub timing: Timing,
    /// Its length.
    pub length: Nanos,
    /// The mix of keys that the requests ask for.
    pub mix: Vec<Share>,
}

/// How intended start times are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// All gaps are equal.
    Constant,
    /// Gaps are exponential: many independent callers.
    Poisson,
}

impl Arrivals {
    /// Both spacings.
    pub const ALL: [Self; 2] = [Self::Constant, Self::Poisson];

    /// Returns the name in files and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// Start times of the requests of a phase.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// Times that follow a rate.
    Rate(Profile),
    /// Recorded times. Fields that the trace does not hold are drawn from the mix.
    Replay {
        /// The recorded requests.
        trace: Trace,
        /// The replay speed: 2 is twice as fast as recorded.
        speed: f64,
    },
}

/// An expectation of a run of our own broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// After the warm-up nobody waits for a token, except callers that ask for a new key.
    Hits,
    /// After the warm-up every key is renewed at least once in the background.
    Refreshes,
}

impl Phase {
    /// Returns the mean of the intended rate, in requests per second.
    pub fn mean_rate(&self) -> f64 {
        self.total() * 1e9 / self.length.max(Nanos::new(1)).as_f64()
    }

    /// Returns the number of intended requests.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn total(&self) -> f64 {
        match &self.timing {
            Timing::Rate(profile) => profile.total(),
            Timing::Replay { .. } => self.replayed().count() as f64,
        }
    }

    /// Returns the number of intended requests in each step of this length, which is above 0. The
    /// last step may be shorter.
    pub fn planned(&self, length: Nanos) -> Vec<f64> {
        let steps = 0..self.length.div_ceil(length);
        let until = |profile: &Profile, steps| profile.integral(length * steps);
        match &self.timing {
            Timing::Rate(profile) => {
                steps.map(|step| until(profile, step + 1) - until(profile, step)).collect()
            }
            Timing::Replay { .. } => {
                let mut counts = vec![0.0; steps.count()];
                for (at, _) in self.replayed() {
                    let step = usize::try_from(at / length).unwrap_or(usize::MAX);
                    counts.get_mut(step).into_iter().for_each(|count| *count += 1.0);
                }
                counts
            }
        }
    }

    /// Returns the rate in requests per second if it is constant.
    pub fn level(&self) -> Option<f64> {
        match &self.timing {
            Timing::Rate(profile) => profile.level(),
            Timing::Replay { .. } => None,
        }
    }

    /// Returns the name of the spacing of the requests, for reports.
    pub const fn spacing(&self) -> &'static str {
        match self.timing {
            Timing::Rate(_) => self.arrivals.as_str(),
            Timing::Replay { .. } => "replay",
        }
    }

    /// Returns the recorded requests that fall into the phase, with their times.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "times are positive and far below 2^53 ns"
    )]
    pub(crate) fn replayed(&self) -> impl Iterator<Item = (Nanos, Row)> {
        let (rows, speed): (&[Row], f64) = match &self.timing {
            Timing::Replay { trace, speed } => (trace.rows(), *speed),
            Timing::Rate(_) => (&[], 1.0),
        };
        let timed =
            rows.iter().map(move |row| (Nanos::new((row.at.as_f64() / speed) as u64), *row));
        timed.take_while(|(at, _)| *at < self.length)
    }

    /// Returns an upper bound of the new keys that the phase uses: six standard deviations above
    /// the mean of a Poisson stream.
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
    /// Returns all stretches in order, the warm-up first.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &Phase> {
        self.warmup.iter().chain(&self.phases)
    }

    fn shares(&self) -> impl Iterator<Item = &Share> {
        self.stages().flat_map(|phase| &phase.mix)
    }

    /// Returns true if every request asks for a key that nobody has asked for before.
    pub fn only_new(&self) -> bool {
        self.shares().all(|share| matches!(share.kind, mix::Kind::New { repeat: 1 }))
    }

    /// Returns true if some requests ask for new keys.
    pub fn any_new(&self) -> bool {
        self.shares().any(Share::is_new)
    }

    /// Returns the upper bound of the new keys needed, and the number of new keys in `world`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 10^7 x 2 days"
    )]
    pub fn new_keys(&self, world: &Synthetic) -> (u64, u64) {
        let needed: f64 = self.stages().map(Phase::new_keys_max).sum();
        let there = self.new_vm_keys(world).len() as u64 * u64::from(world.vms);
        (needed as u64, there)
    }

    /// Returns the keys of each VM, of the shares with reusable keys that satisfy `wanted`.
    pub(crate) fn reused_vm_keys(
        &self,
        world: &Synthetic,
        wanted: impl Fn(&Share) -> bool,
    ) -> Vec<VmKey> {
        let shares = self.shares().filter(|share| wanted(share));
        let mut vm_keys: Vec<VmKey> = shares.flat_map(|share| share.vm_keys(world)).collect();
        vm_keys.sort_unstable_by_key(|(slot, resource)| (*resource, *slot));
        vm_keys.dedup();
        vm_keys
    }

    /// Returns the keys of each VM that no share uses again.
    pub(crate) fn new_vm_keys(&self, world: &Synthetic) -> Vec<VmKey> {
        let old = self.reused_vm_keys(world, |_| true);
        all_vm_keys(world).filter(|vm_key| !old.contains(vm_key)).collect()
    }

    /// Returns the number of distinct keys that are not new.
    pub fn reused_keys(&self, world: &Synthetic) -> u64 {
        self.reused_vm_keys(world, |_| true).len() as u64 * u64::from(world.vms)
    }

    /// Returns how many keys the warm-up asks for once each, and the number of all such keys.
    /// Returns `None` if a phase needs cold keys, or if no phase asks for the same keys again.
    ///
    /// At most half of the warm-up fills the cache; in the other half the queue of mints drains.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 10^7 x 1 day"
    )]
    pub fn filled(&self, world: &Synthetic) -> Option<(u64, u64)> {
        let cold = self.shares().any(|share| matches!(share.kind, mix::Kind::Turn { .. }));
        let keys = self.reused_vm_keys(world, Share::returns).len() as u64 * u64::from(world.vms);
        let half = self.warmup.as_ref().map_or(0, |phase| (phase.total() / 2.0) as u64);
        (keys > 0 && !cold).then_some((half.min(keys), keys))
    }

    /// Returns the end of each phase from the start of the measured part, or nothing if there
    /// is one phase only.
    pub fn ends(&self) -> Vec<Nanos> {
        let mut end = Nanos::ZERO;
        let ends = self.phases.iter().map(|phase| {
            end += phase.length;
            end
        });
        if self.phases.len() > 1 { ends.collect() } else { Vec::new() }
    }
}
