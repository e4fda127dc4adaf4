//! Checks that the generator kept to its schedule as a whole, beyond the lateness of single
//! requests.
//!
//! There are two checks: a rehearsal of the pacing loop without requests, and a random sample of
//! the requests, whose gaps are compared with those of the schedule.
//!
//! The lag rules look at quantiles relative to the measured times: against a slow target they allow
//! milliseconds. The gaps show if the requests still arrived as a Poisson stream. A coarse clock,
//! or a stall that ends in a burst, leaves gaps that independent callers do not make.

use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Exp1};

use super::arrivals::Arrivals;
use crate::harness::record::recorder::histogram;
use crate::harness::scenario::phases::{Phase, Timing};
use crate::harness::scenario::profile::Profile;
use crate::harness::scenario::workload::Workload;
use crate::harness::stats::kolmogorov::{LIMIT_95, distance_from_exponential};

/// Measurements of the pacing of a run.
#[derive(Debug)]
pub struct Pacing {
    /// Lag of the rehearsal, in nanoseconds; empty where there was none.
    pub rehearsal: Histogram<u64>,
    /// The sampled requests of all threads.
    pub sampled: Vec<Acted>,
    /// The sampling rule; none if the arrivals are not a Poisson stream.
    pub sampling: Option<GapSampling>,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { rehearsal: histogram(), sampled: Vec::new(), sampling: None }
    }
}

/// A sampled request: its intended start and the time when the generator acted on it, both in
/// nanoseconds from the start of the measured part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The intended start.
    pub intended_ns: u64,
    /// The time when the generator acted on it.
    pub acted_ns: u64,
}

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
/// The smallest useful sample size. Fewer gaps detect nothing.
const SAMPLE_MIN: usize = 100;
/// The ratio of the mean gap in the sample to the lag limit. Lateness within the limit then changes
/// the distance by a hundredth at most; lateness that varies changes it far less.
const GAP_PER_LAG: u64 = 100;
/// The distance that lateness may add to that of the schedule itself, in units of the limit's
/// numerator.
const ADDED_MAX: f64 = 0.34;

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

    /// Returns true if request number `index` is in the sample.
    pub fn takes(&self, index: u64) -> bool {
        unit(index ^ self.seed.rotate_left(32)) < self.share
    }
}

/// Returns a pseudo-random number from 0 to 1 for `index`: the finaliser of `SplitMix64` (Steele,
/// Lea and Flood, OOPSLA 2014).
fn unit(index: u64) -> f64 {
    let mut z = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    float((z ^ (z >> 31)) >> 11) / float(1 << 53)
}

/// Comparison of the gaps between sampled requests with an exponential distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GapFit {
    /// Number of gaps compared.
    pub gaps: usize,
    /// Kolmogorov-Smirnov distance of the times when the generator acted.
    pub acted: f64,
    /// Kolmogorov-Smirnov distance of the intended starts of the same requests.
    pub intended: f64,
    /// Upper limit of `acted`.
    pub limit: f64,
}

impl GapFit {
    /// Returns true if the gaps differ from those of the schedule by more than the limit.
    pub fn is_off(&self) -> bool {
        self.acted > self.limit
    }
}

impl Pacing {
    /// Compares the gaps on a scale at which lateness of `lag_limit_ns` does not show. Returns
    /// `None` if the arrivals are not a Poisson stream or the sample is too small.
    ///
    /// The limit is 1.36/sqrt(n), which one in twenty schedules exceeds by chance. The schedule is
    /// known, so these cases are recognised and judged by the distance that lateness added instead.
    /// A generator that is on time therefore never fails this test.
    pub fn gap_fit(&self, lag_limit_ns: u64) -> Option<GapFit> {
        let sampling = self.sampling.as_ref()?;
        let GapSampling { profile, mut share, .. } = sampling.clone();
        let mean_ns = 1e9 / (profile.peak() * share);
        let wanted_ns = float(lag_limit_ns.saturating_mul(GAP_PER_LAG));
        let kept = (mean_ns / wanted_ns.max(1.0)).min(1.0);
        share *= kept;
        // This selection is independent of the one that chose the sample.
        let keep = |acted: &&Acted| unit(!acted.intended_ns) < kept;
        let sample: Vec<Acted> = self.sampled.iter().filter(keep).copied().collect();
        if sample.len() <= SAMPLE_MIN {
            return None;
        }
        let distance = |time: fn(&Acted) -> u64| {
            let expected = |acted: &Acted| profile.integral(time(acted)) * share;
            let mut times: Vec<f64> = sample.iter().map(expected).collect();
            times.sort_by(f64::total_cmp);
            let gaps = times.iter().zip(times.iter().skip(1));
            distance_from_exponential(&gaps.map(|(a, b)| b - a).collect::<Vec<f64>>())
        };
        let (acted, intended) = (distance(|a| a.acted_ns), distance(|a| a.intended_ns));
        let gaps = sample.len() - 1;
        let root = float(gaps as u64).sqrt();
        let limit = LIMIT_95.max(intended * root + ADDED_MAX) / root;
        Some(GapFit { gaps, acted, intended, limit })
    }
}

/// The times at which the rehearsal loop has something due: a Poisson stream, in nanoseconds from
/// its start.
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
    type Item = u64;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a rehearsal lasts for seconds"
    )]
    fn next(&mut self) -> Option<u64> {
        let gap: f64 = Exp1.sample(&mut self.rng);
        self.at_ns += gap * self.mean_ns;
        Some(self.at_ns as u64)
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and spans need no 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::mix::{Identities, Kind, Share};
    use crate::harness::scenario::phases::Phases;
    use crate::harness::schedule::arrivals::Schedule;
    use std::sync::Arc;

    const RATE: f64 = 20_000.0;
    const DURATION_NS: u64 = 10_000_000_000;
    /// Ten per cent of a service time of 2 ms.
    const LAG_LIMIT_NS: u64 = 200_000;

    fn workload(arrivals: Arrivals, rate: f64) -> Workload {
        shaped(arrivals, Profile::constant(rate, DURATION_NS))
    }

    fn shaped(arrivals: Arrivals, profile: Profile) -> Workload {
        let kind = Kind::Popular { exponent: 1.0 };
        let share = Share { weight: 1.0, kind, identities: Identities::All, resource: 0 };
        let phase = Phase {
            name: "one".to_owned(),
            arrivals,
            timing: Timing::Rate(profile),
            length_ns: DURATION_NS,
            mix: vec![share],
        };
        Workload::Phases(Arc::new(Phases {
            warmup: None,
            phases: vec![phase],
            expect: Vec::new(),
            serve_args: Vec::new(),
            tokens_outlive_run: true,
            seed: 1,
        }))
    }

    /// Returns the pacing of a generator that is late by `late(index, intended_ns)`.
    fn pacing(seed: u64, late: impl Fn(u64, u64) -> u64) -> Pacing {
        pacing_of(&Profile::constant(RATE, DURATION_NS), seed, late)
    }

    fn pacing_of(profile: &Profile, seed: u64, late: impl Fn(u64, u64) -> u64) -> Pacing {
        let workload = shaped(Arrivals::Poisson, profile.clone());
        let sampling = GapSampling::of(&workload, seed).unwrap();
        let schedule = Schedule::over(Arrivals::Poisson, profile.clone(), seed);
        let taken = (0..).zip(schedule).filter(|(index, _)| sampling.takes(*index));
        let acted = taken.map(|(index, intended_ns)| Acted {
            intended_ns,
            acted_ns: intended_ns + late(index, intended_ns),
        });
        let sampled = acted.collect();
        Pacing { sampled, sampling: Some(sampling), ..Pacing::default() }
    }

    fn alarms(late: impl Fn(u64, u64) -> u64) -> usize {
        let is_off = |seed: &u64| pacing(*seed, &late).gap_fit(LAG_LIMIT_NS).unwrap().is_off();
        (0..100).filter(is_off).count()
    }

    #[test]
    fn a_generator_that_is_on_time_never_fails() {
        assert_eq!(alarms(|_, _| 0), 0);
    }

    #[test]
    fn gaps_are_measured_by_the_rate_of_their_moment() {
        // Measured by its mean rate, a ramp would be far from exponential.
        let ramp = Profile::ramp(1000.0, 20_000.0, DURATION_NS);
        for seed in 0..20 {
            let fit = pacing_of(&ramp, seed, |_, _| 0).gap_fit(20_000).unwrap();
            assert!(!fit.is_off() && fit.intended < 0.06, "{fit:?}");
        }
    }

    #[test]
    fn lateness_that_the_lag_rules_allow_does_not_fail() {
        // Any lateness up to the limit, different for each request.
        assert_eq!(alarms(|index, _| index.wrapping_mul(7919) % LAG_LIMIT_NS), 0);
        // A loop that acts every 80 us on all requests that are due.
        assert_eq!(alarms(|_, at| at.next_multiple_of(80_000) - at), 0);
    }

    #[test]
    fn a_stall_of_every_second_that_ends_in_a_burst_fails() {
        // The loop stalls for 15 % of each second and acts on all requests of that time at its end.
        let late = |_, at: u64| 150_000_000_u64.saturating_sub(at % 1_000_000_000);
        assert_eq!(alarms(late), 100);
    }

    #[test]
    fn a_schedule_of_another_rate_fails() {
        // The clock of the generator runs a fifth faster, so all gaps are shorter.
        let mut pacing = pacing(3, |_, _| 0);
        for acted in &mut pacing.sampled {
            acted.acted_ns = acted.intended_ns / 5 * 4;
        }
        assert!(pacing.gap_fit(20_000).unwrap().is_off());
    }

    #[test]
    fn what_is_not_random_or_too_little_is_not_judged() {
        let constant = workload(Arrivals::Constant, RATE);
        assert!(GapSampling::of(&constant, 1).is_none());
        let mut pacing = pacing(1, |_, _| 0);
        assert!(pacing.gap_fit(20_000_000).is_none());
        pacing.sampled.truncate(SAMPLE_MIN);
        assert!(pacing.gap_fit(20_000).is_none());
    }

    #[test]
    fn the_sample_is_as_large_as_meant_and_takes_everything_of_a_small_run() {
        let count = pacing(5, |_, _| 0).sampled.len();
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
            times.take_while(|at| *at < 1_000_000_000).count()
        };
        assert!((850..1_150).contains(&count(10.0, 1)));
        assert!((4_700..5_300).contains(&count(10_000.0, 2)));
        assert!((19_000..21_000).contains(&count(1e7, 1)));
    }
}
