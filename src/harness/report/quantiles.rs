//! Percentiles of histograms in microseconds, for documents.

use hdrhistogram::Histogram;

use crate::base::clock::us;
use crate::harness::document::percentiles::{Bounded, Percentiles, ResponsePercentiles, Tail};
use crate::harness::judge::standing::{Bounds, Percentile};

/// Returns a quantile in microseconds, or none for an empty histogram.
pub(super) fn at(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| us(histogram.value_at_quantile(quantile)))
}

/// Returns the percentiles of a latency.
pub(super) fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    Percentiles {
        p50: at(histogram, 0.5),
        p90: at(histogram, 0.9),
        p99: at(histogram, 0.99),
        p999: at(histogram, 0.999),
        max: at(histogram, 1.0),
    }
}

/// Returns the percentiles of the response time, each with its bounds.
pub(super) fn bounded(bounds: &Bounds<'_>) -> ResponsePercentiles {
    let at = |quantile| bounds.at(quantile).map(in_us);
    ResponsePercentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}

fn in_us(of: Percentile) -> Bounded {
    let Percentile { lower_ns, upper_ns, standing } = of;
    let upper = us(upper_ns);
    Bounded { value: upper, lower: lower_ns.map(us), upper, standing }
}

/// Returns the percentiles of a delay.
pub(super) fn tail(histogram: &Histogram<u64>) -> Tail {
    Tail {
        p50: at(histogram, 0.5),
        p99: at(histogram, 0.99),
        p999: at(histogram, 0.999),
        max: at(histogram, 1.0),
    }
}
