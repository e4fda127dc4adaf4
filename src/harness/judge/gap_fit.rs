//! Checks that the generator kept to its schedule as a whole, beyond the lateness of single
//! requests. The gaps of a random sample of the requests are compared with those of the schedule.
//!
//! The lag rules look at quantiles relative to the measured times: against a slow target they allow
//! milliseconds. The gaps show if the requests still arrived as a Poisson stream. A coarse clock,
//! or a stall that ends in a burst, leaves gaps that independent callers do not make.

use crate::harness::nanos::Nanos;
use crate::harness::record::measured::{Acted, Pacing};
use crate::harness::schedule::sampling::unit;
use crate::harness::stats::kolmogorov::{LIMIT_95, distance_from_exponential};

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

/// The smallest useful sample size. Fewer gaps detect nothing.
const SAMPLE_MIN: usize = 100;

/// The ratio of the mean gap in the sample to the lag limit. Lateness within the limit then changes
/// the distance by a hundredth at most; lateness that varies changes it far less.
const GAP_PER_LAG: u64 = 100;

/// The distance that lateness may add to that of the schedule itself, in units of the limit's
/// numerator.
const ADDED_MAX: f64 = 0.34;

impl GapFit {
    /// Compares the gaps on a scale at which lateness of `lag_limit` does not show. Returns
    /// `None` if the arrivals are not a Poisson stream or the sample is too small.
    ///
    /// The limit is 1.36/sqrt(n), which one in twenty schedules exceeds by chance. The schedule is
    /// known, so these cases are recognised and judged by the distance that lateness added instead.
    /// A generator that is on time therefore never fails this test.
    pub fn of(pacing: &Pacing, lag_limit: Nanos) -> Option<Self> {
        let sampling = pacing.sampling.as_ref()?;
        let (profile, mut share) = (sampling.profile(), sampling.share());
        let mean_ns = 1e9 / (profile.peak() * share);
        let wanted_ns = lag_limit.saturating_mul(GAP_PER_LAG).as_f64();
        let kept = (mean_ns / wanted_ns.max(1.0)).min(1.0);
        share *= kept;
        // This selection is independent of the one that chose the sample.
        let keep = |acted: &&Acted| unit(!acted.intended.as_u64()) < kept;
        let sample: Vec<Acted> = pacing.sampled.iter().filter(keep).copied().collect();
        if sample.len() <= SAMPLE_MIN {
            return None;
        }
        let distance = |time: fn(&Acted) -> Nanos| {
            let expected = |acted: &Acted| profile.integral(time(acted)) * share;
            let mut times: Vec<f64> = sample.iter().map(expected).collect();
            times.sort_by(f64::total_cmp);
            let gaps = times.iter().zip(times.iter().skip(1));
            distance_from_exponential(&gaps.map(|(a, b)| b - a).collect::<Vec<f64>>())
        };
        let (acted, intended) = (distance(|a| a.acted), distance(|a| a.intended));
        let gaps = sample.len() - 1;
        let root = float(gaps as u64).sqrt();
        let limit = LIMIT_95.max(intended * root + ADDED_MAX) / root;
        Some(Self { gaps, acted, intended, limit })
    }

    /// Returns true if the gaps differ from those of the schedule by more than the limit.
    pub fn is_off(&self) -> bool {
        self.acted > self.limit
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares and spans need no 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::phases::Arrivals;
    use crate::harness::scenario::profile::Profile;
    use crate::harness::schedule::arrivals::Schedule;
    use crate::harness::schedule::sampling::GapSampling;
    use crate::harness::schedule::sampling::tests::{DURATION, RATE, shaped, workload};

    /// Ten per cent of a service time of 2 ms.
    const LAG_LIMIT_NS: u64 = 200_000;

    /// Returns the pacing of a generator that is late by `late(index, intended_ns)`.
    fn pacing(seed: u64, late: impl Fn(u64, u64) -> u64) -> Pacing {
        pacing_of(&Profile::constant(RATE, DURATION), seed, late)
    }

    fn pacing_of(profile: &Profile, seed: u64, late: impl Fn(u64, u64) -> u64) -> Pacing {
        let workload = shaped(Arrivals::Poisson, profile.clone());
        let sampling = GapSampling::of(&workload, seed).unwrap();
        let schedule = Schedule::over(Arrivals::Poisson, profile.clone(), seed);
        let taken = (0..).zip(schedule).filter(|(index, _)| sampling.takes(*index));
        let acted = taken.map(|(index, intended)| Acted {
            intended,
            acted: intended + Nanos::new(late(index, intended.as_u64())),
        });
        let sampled = acted.collect();
        Pacing { sampled, sampling: Some(sampling), ..Pacing::default() }
    }

    fn alarms(late: impl Fn(u64, u64) -> u64) -> usize {
        let is_off = |seed: &u64| {
            GapFit::of(&pacing(*seed, &late), Nanos::new(LAG_LIMIT_NS)).unwrap().is_off()
        };
        (0..100).filter(is_off).count()
    }

    #[test]
    fn a_generator_that_is_on_time_never_fails() {
        assert_eq!(alarms(|_, _| 0), 0);
    }

    #[test]
    fn gaps_are_measured_by_the_rate_of_their_moment() {
        // Measured by its mean rate, a ramp would be far from exponential.
        let ramp = Profile::ramp(1000.0, 20_000.0, DURATION);
        for seed in 0..20 {
            let fit =
                GapFit::of(&pacing_of(&ramp, seed, |_, _| 0), Nanos::from_micros(20)).unwrap();
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
            acted.acted = acted.intended / 5 * 4;
        }
        assert!(GapFit::of(&pacing, Nanos::new(20_000)).unwrap().is_off());
    }

    #[test]
    fn what_is_not_random_or_too_little_is_not_judged() {
        let constant = workload(Arrivals::Constant, RATE);
        assert!(GapSampling::of(&constant, 1).is_none());
        let mut pacing = pacing(1, |_, _| 0);
        assert!(GapFit::of(&pacing, Nanos::new(20_000_000)).is_none());
        pacing.sampled.truncate(SAMPLE_MIN);
        assert!(GapFit::of(&pacing, Nanos::new(20_000)).is_none());
    }
}
