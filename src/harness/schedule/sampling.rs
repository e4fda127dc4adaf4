//! The sample of requests whose gaps are compared with the schedule, and the times of the rehearsal of
//! the pacing loop without requests.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Exp1};

use crate::harness::nanos::Nanos;
use crate::harness::scenario::phases::{Arrivals, Phase, Timing};
use crate::harness::scenario::profile::Profile;
use crate::harness::scenario::workload::Workload;

/// The rule that selects the sampled requests. Each request is selected independently, because only
/// then the sample of a Poisson stream is a Poisson stream again.
#[derive(Clone, Debug)]
pub struct GapSampling {
    /// The rate over the measured part, in which gaps are measured.
    profile: Profile,
    share: f64,
    seed: u64,
}

/// The expected sample size. More gaps would detect differences too small to matter.
const SAMPLE: f64 = 2000.0;

impl GapSampling {
    /// Returns the rule for a sample of some 2000 requests of a Poisson stream, or `None` for any
    /// other stream.
    pub fn of(workload: &Workload, seed: u64) -> Option<Self> {
        let mut whole = Profile::default();
        for Phase { arrivals, timing, .. } in &workload.phases()?.phases {
            match timing {
                Timing::Rate(profile) if *arrivals == Arrivals::Poisson => {
                    whole = whole.then(profile);
                }
                _ => return None,
            }
        }
        let share = (SAMPLE / whole.total().max(1.0)).min(1.0);
        Some(Self { profile: whole, share, seed })
    }

    /// Returns an upper bound of the sample size, exceeded with a probability of one in a billion.
    pub const fn capacity() -> usize {
        2300
    }

    /// Returns the rate over the measured part.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Returns the expected share of the requests that are in the sample.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Returns true if request number `index` is in the sample.
    pub fn takes(&self, index: u64) -> bool {
        unit(index ^ self.seed.rotate_left(32)) < self.share
    }
}

/// Returns a pseudo-random number from 0 to 1 for `index`: the finaliser of `SplitMix64` (Steele,
/// Lea and Flood, OOPSLA 2014).
pub(crate) fn unit(index: u64) -> f64 {
    let mut z = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    float((z ^ (z >> 31)) >> 11) / float(1 << 53)
}

/// The times at which the rehearsal loop has something due: a Poisson stream, from its
/// start.
#[derive(Debug)]
pub(crate) struct RehearsalTimes {
    rng: Xoshiro256PlusPlus,
    mean_ns: f64,
    at_ns: f64,
}

/// The minimum rate of a rehearsal, in events per second: enough for a p99.9 within a second.
const REHEARSED_MIN: f64 = 1000.0;
/// The maximum rate of a rehearsal. A higher rate would only measure the reading of the clock,
/// since nothing is sent.
const REHEARSED_MAX: f64 = 20_000.0;

impl RehearsalTimes {
    /// Returns the times of a rehearsal at the rate of one of `threads` threads of this workload.
    pub(crate) fn of(workload: &Workload, threads: usize, thread: usize) -> Self {
        let phases = workload.phases().map_or(&[][..], |phases| &phases.phases);
        let rate = phases.iter().map(Phase::mean_rate).fold(REHEARSED_MIN, f64::max);
        let rate = (rate / float(threads.max(1) as u64)).clamp(REHEARSED_MIN, REHEARSED_MAX);
        let rng = Xoshiro256PlusPlus::seed_from_u64(thread as u64);
        Self { rng, mean_ns: 1e9 / rate, at_ns: 0.0 }
    }
}

impl Iterator for RehearsalTimes {
    type Item = Nanos;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a rehearsal lasts for seconds"
    )]
    fn next(&mut self) -> Option<Nanos> {
        let gap: f64 = Exp1.sample(&mut self.rng);
        self.at_ns += gap * self.mean_ns;
        Some(Nanos::new(self.at_ns as u64))
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and spans need no 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::harness::scenario::mix::{Identities, Kind, Share};
    use crate::harness::scenario::phases::Phases;
    use crate::harness::schedule::arrivals::Schedule;
    use std::sync::Arc;

    pub(crate) const RATE: f64 = 20_000.0;
    pub(crate) const DURATION: Nanos = Nanos::from_secs(10);

    pub(crate) fn workload(arrivals: Arrivals, rate: f64) -> Workload {
        shaped(arrivals, Profile::constant(rate, DURATION))
    }

    pub(crate) fn shaped(arrivals: Arrivals, profile: Profile) -> Workload {
        let kind = Kind::Popular { exponent: 1.0 };
        let share = Share { weight: 1.0, kind, identities: Identities::All, resource: 0 };
        let phase = Phase {
            name: "one".to_owned(),
            arrivals,
            timing: Timing::Rate(profile),
            length: DURATION,
            mix: vec![share],
        };
        Workload::Phases(Arc::new(Phases {
            warmup: None,
            phases: vec![phase],
            expect: Vec::new(),
            serve_args: Vec::new(),
            limit: None,
            tokens_outlive_run: true,
            seed: 1,
        }))
    }

    #[test]
    fn the_sample_is_as_large_as_meant_and_takes_everything_of_a_small_run() {
        let profile = Profile::constant(RATE, DURATION);
        let sampling = GapSampling::of(&shaped(Arrivals::Poisson, profile.clone()), 5).unwrap();
        let schedule = Schedule::over(Arrivals::Poisson, profile, 5);
        let count = (0..).zip(schedule).filter(|(index, _)| sampling.takes(*index)).count();
        // 2000 expected, standard deviation 45.
        assert!((1_750..GapSampling::capacity()).contains(&count), "{count}");
        let few = GapSampling::of(&workload(Arrivals::Poisson, 10.0), 1).unwrap();
        assert!((0..100).all(|index| few.takes(index)));
    }

    #[test]
    fn a_rehearsal_has_as_much_to_do_as_a_thread_within_bounds() {
        let count = |rate, threads| {
            let workload = workload(Arrivals::Poisson, rate);
            let times = RehearsalTimes::of(&workload, threads, 0);
            times.take_while(|at| *at < Nanos::SECOND).count()
        };
        assert!((850..1_150).contains(&count(10.0, 1)));
        assert!((4_700..5_300).contains(&count(10_000.0, 2)));
        assert!((19_000..21_000).contains(&count(1e7, 1)));
    }
}
