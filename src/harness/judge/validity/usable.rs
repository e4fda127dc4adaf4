//! Percentiles of the response that stay usable in an invalid run.
//!
//! One rule covers all disturbances: a disturbance of a share of the requests may move a percentile
//! by as much as that share. A percentile is usable if the share is at most a tenth of the share
//! above it: 5 % for the p50, 1 % for the p90, 0.1 % for the p99. The limits of the p99 are those
//! of a valid run.

use hdrhistogram::Histogram;

use super::limits::{lag_limit, lateness_max};
use crate::harness::nanos::Nanos;

/// The usable percentiles, from the p50 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usable {
    /// None: the load was not the intended one.
    Nothing,
    /// The p50 only.
    P50,
    /// The p50 and the p90.
    P90,
    /// Every percentile.
    All,
}

/// Disturbed shares up to which the p50, the p90 and the p99 are usable.
const P50_SHARE_MAX: f64 = 0.05;
const P90_SHARE_MAX: f64 = 0.01;
const P99_SHARE_MAX: f64 = 0.001;

impl Usable {
    /// Returns the percentiles that stay usable after stalls for this share of the time.
    pub const fn with_stalls(share: f64) -> Self {
        match share {
            _ if share <= P90_SHARE_MAX => Self::P90,
            _ if share <= P50_SHARE_MAX => Self::P50,
            _ => Self::Nothing,
        }
    }

    /// Returns the percentiles of a run that ended while this share of its requests had no answer.
    pub(super) const fn with_unfinished(share: f64) -> Self {
        if share <= P99_SHARE_MAX { Self::All } else { Self::with_stalls(share) }
    }

    /// Returns the percentiles that stay usable if the p99 of `late` exceeded the limit.
    pub(super) fn with_lateness(
        late: &Histogram<u64>,
        service: &Histogram<u64>,
        response: &Histogram<u64>,
    ) -> Self {
        let p90_limit = lateness_max(Nanos::at_quantile(response, 0.9));
        if Nanos::at_quantile(late, 1.0 - P90_SHARE_MAX) <= p90_limit {
            Self::P90
        } else if Nanos::at_quantile(late, 1.0 - P50_SHARE_MAX) <= lag_limit(service) {
            Self::P50
        } else {
            Self::Nothing
        }
    }

    /// Returns the names of the usable percentiles. The last one stands for all above it.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::P50 => &["p50"],
            Self::P90 => &["p50", "p90"],
            Self::All => &["p50", "p90", "p99"],
        }
    }

    /// Returns a phrase that names the usable and the unusable percentiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "no percentile is usable",
            Self::P50 => "p50 is usable; p90 and above are not",
            Self::P90 => "p50 and p90 are usable; p99 and above are not",
            Self::All => "every percentile is usable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::intervals::histogram;

    fn mixed(usual_ns: u64, late_ns: u64, late_of_thousand: u64) -> Histogram<u64> {
        let mut histogram = histogram();
        histogram.record_n(usual_ns, 1000 - late_of_thousand).unwrap();
        histogram.record_n(late_ns, late_of_thousand).unwrap();
        histogram
    }

    #[test]
    fn lateness_of_some_requests_leaves_the_percentiles_that_bear_it() {
        let (service, response) = (mixed(60_000, 60_000, 0), mixed(65_000, 900_000, 120));
        let left = |late: &Histogram<u64>| Usable::with_lateness(late, &service, &response);
        // 40 us is more than a tenth of the median, and less than a tenth of the p90.
        assert_eq!(left(&mixed(100, 40_000, 20)), Usable::P90);
        assert_eq!(left(&mixed(100, 400_000, 20)), Usable::P50);
        assert_eq!(left(&mixed(100, 400_000, 60)), Usable::Nothing);
    }

    #[test]
    fn stalls_leave_what_a_tenth_of_the_requests_above_it_hides() {
        let left = [0.002, 0.02, 0.06].map(Usable::with_stalls);
        assert_eq!(left, [Usable::P90, Usable::P50, Usable::Nothing]);
    }
}
