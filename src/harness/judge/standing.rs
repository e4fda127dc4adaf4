//! Standing of a percentile: measured, only bounded, or unknown.
//!
//! A generator on a disturbed host records response times that are too long. Each request therefore has an upper and
//! a lower bound of the response time that a perfect generator would have recorded. A percentile lies between the
//! same percentile of the lower and of the upper bounds.

use std::borrow::Cow;

use hdrhistogram::Histogram;

pub use crate::harness::document::percentiles::Standing;
use crate::harness::stats::dispersion::index_of_dispersion;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::Counts;

/// Minimum number of independent requests beyond a percentile. With fewer, a few bad moments decide it.
pub(super) const BEYOND_MIN: f64 = 10.0;
/// Maximum distance of the bounds of a measured percentile, as one part in this many of the upper bound. The validity
/// rules allow the generator the same share.
const TENTH: u64 = 10;
/// Maximum error of a calculation with decimal shares.
pub(super) const ROUNDING: f64 = 1e-9;

/// Response times of some requests, in nanoseconds: the upper and the lower bound of each.
#[derive(Clone, Debug)]
pub struct Bounds<'a> {
    /// Upper bounds: the response times as recorded.
    pub upper: &'a Histogram<u64>,
    /// Lower bounds of the same requests; none where they were not recorded.
    pub lower: Option<&'a Histogram<u64>>,
    /// Upper bounds in equal stretches of time; empty where the load changes by design, or where they are not known.
    pub upper_blocks: Cow<'a, [Counts]>,
    /// Lower bounds in the same stretches.
    pub lower_blocks: Cow<'a, [Counts]>,
}

/// Percentile in nanoseconds, with its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    /// The lower bound; none where it was not recorded.
    pub lower_ns: Option<u64>,
    /// The upper bound: the percentile as recorded.
    pub upper_ns: u64,
    /// Standing of the percentile.
    pub standing: Standing,
}

impl<'a> Bounds<'a> {
    /// Returns bounds without their course over time.
    pub const fn new(upper: &'a Histogram<u64>, lower: Option<&'a Histogram<u64>>) -> Self {
        Self { upper, lower, upper_blocks: Cow::Borrowed(&[]), lower_blocks: Cow::Borrowed(&[]) }
    }

    /// Returns a percentile, or none without requests.
    pub fn at(&self, quantile: f64) -> Option<Percentile> {
        if self.upper.is_empty() {
            return None;
        }
        let upper_ns = self.upper.value_at_quantile(quantile);
        let lower_ns = self.lower.map(|lower| lower.value_at_quantile(quantile).min(upper_ns));
        let standing = match lower_ns {
            None => Standing::Recorded,
            Some(lower_ns) if self.is_known(quantile, lower_ns, upper_ns) => {
                if are_close(lower_ns, upper_ns) { Standing::Measured } else { Standing::Bounded }
            }
            Some(_) => Standing::Unknown,
        };
        Some(Percentile { lower_ns, upper_ns, standing })
    }

    /// Returns true if enough independent requests are beyond the percentile.
    ///
    /// Requests that come in bursts count as many times fewer as their index of dispersion says. Nothing is beyond
    /// the maximum: it is a figure of this run.
    fn is_known(&self, quantile: f64, lower_ns: u64, upper_ns: u64) -> bool {
        let beyond = float(self.upper.len()) * (1.0 - quantile);
        let of_upper = index_of_dispersion(&self.upper_blocks, |ns| ns > upper_ns);
        let of_lower = index_of_dispersion(&self.lower_blocks, |ns| ns > lower_ns);
        quantile >= 1.0 || beyond / of_upper.max(of_lower) >= BEYOND_MIN * (1.0 - ROUNDING)
    }
}

/// Returns true if the bounds of a percentile are within 10 % of each other.
pub(super) const fn are_close(lower_ns: u64, upper_ns: u64) -> bool {
    upper_ns.saturating_sub(lower_ns) <= upper_ns / TENTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::intervals::histogram;
    use proptest::prelude::*;

    fn filled(counts: &[(u64, u64)]) -> Histogram<u64> {
        let mut histogram = histogram();
        for (ns, times) in counts {
            histogram.record_n(*ns, *times).unwrap();
        }
        histogram
    }

    fn standing(quantile: f64, lower: &[(u64, u64)], upper: &[(u64, u64)]) -> Standing {
        Bounds::new(&filled(upper), Some(&filled(lower))).at(quantile).unwrap().standing
    }

    #[test]
    fn bounds_within_a_tenth_are_measured_and_others_bounded() {
        let all = |ns| vec![(ns, 1000)];
        assert_eq!(standing(0.5, &all(95_000), &all(100_000)), Standing::Measured);
        assert_eq!(standing(0.5, &all(80_000), &all(100_000)), Standing::Bounded);
        let upper = filled(&all(100_000));
        let recorded = Bounds::new(&upper, None).at(0.5).unwrap();
        assert_eq!((recorded.lower_ns, recorded.standing), (None, Standing::Recorded));
        assert_eq!(Bounds::new(&histogram(), None).at(0.5), None);
    }

    #[test]
    fn a_percentile_is_known_from_ten_requests_beyond_it() {
        for (quantile, enough) in [(0.5, 20), (0.9, 100), (0.99, 1_000), (0.999, 10_000)] {
            let of = |count| standing(quantile, &[(5, count)], &[(5, count)]);
            assert_eq!(of(enough), Standing::Measured, "{quantile}");
            assert_eq!(of(enough - 1), Standing::Unknown, "{quantile}");
        }
        assert_eq!(standing(1.0, &[(5, 1)], &[(5, 1)]), Standing::Measured);
    }

    /// Returns the standing of the p99 if these many of a thousand requests in each second are slow.
    fn over_time(slow: &[u64]) -> Standing {
        let seconds: Vec<Counts> =
            slow.iter().map(|slow| vec![(1_000, 1000 - slow), (9_000, *slow)]).collect();
        let all: Vec<(u64, u64)> = seconds.iter().flatten().copied().collect();
        let all = filled(&all);
        let blocks = || Cow::Borrowed(seconds.as_slice());
        let bounds = Bounds {
            upper_blocks: blocks(),
            lower_blocks: blocks(),
            ..Bounds::new(&all, Some(&all))
        };
        bounds.at(0.99).unwrap().standing
    }

    #[test]
    fn a_burst_counts_as_one_request() {
        assert_eq!(over_time(&[9; 30]), Standing::Measured);
        let mut bursts = [0; 30];
        bursts[7] = 135;
        bursts[21] = 135;
        assert_eq!(over_time(&bursts), Standing::Unknown);
    }

    proptest! {
        #[test]
        fn the_bounds_are_in_order_and_wider_ones_are_never_better_known(
            times in prop::collection::vec((1_u64..1_000_000, 0_u64..200_000, 0_u64..200_000), 1..300),
            quantile in prop::sample::select(vec![0.5, 0.9, 0.99, 0.999, 1.0]),
        ) {
            let (mut upper, mut lower, mut lowest) = (histogram(), histogram(), histogram());
            for (ns, added, more) in times {
                upper.record(ns + added + more).unwrap();
                lower.record(ns + more).unwrap();
                lowest.record(ns).unwrap();
            }
            let narrow = Bounds::new(&upper, Some(&lower)).at(quantile).unwrap();
            let wide = Bounds::new(&upper, Some(&lowest)).at(quantile).unwrap();
            prop_assert!(wide.lower_ns <= narrow.lower_ns);
            prop_assert!(narrow.lower_ns.unwrap() <= narrow.upper_ns);
            prop_assert_eq!(wide.standing == Standing::Unknown, narrow.standing == Standing::Unknown);
            if wide.standing == Standing::Measured {
                prop_assert_eq!(narrow.standing, Standing::Measured);
            }
        }
    }
}
