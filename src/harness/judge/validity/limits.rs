//! Limits of the validity rules.

use hdrhistogram::Histogram;

use crate::harness::nanos::Nanos;

/// The smallest lag limit: the accuracy of the clock and the loop.
pub(crate) const LAG_FLOOR: Nanos = Nanos::from_micros(20);

/// The generator's own error may be one part in this many of the measured time.
pub(super) const TENTH: u64 = 10;

/// The highest busy share. A busier thread cannot absorb a random burst.
pub(crate) const BUSY_MAX: f64 = 0.8;

/// The highest steal share. One per cent of the machine's time is already 0.6 s of stall in a
/// minute.
pub(crate) const STEAL_MAX: f64 = 0.01;

/// The highest throttled share. A used-up quota stops everything for tens of milliseconds at once,
/// which shows in the p99.9.
pub(crate) const THROTTLED_MAX: f64 = 0.001;

/// The time for each allowed page fault. A page from disk stops a thread for milliseconds; a few
/// faults are code that runs for the first time.
pub(super) const FAULT_EVERY: Nanos = Nanos::from_secs(10);

/// The tolerance of the rate.
pub(super) const RATE_TOLERANCE: f64 = 0.01;

/// Returns the largest allowed p99 of the lag: a tenth of the median service time.
pub fn lag_limit(service: &Histogram<u64>) -> Nanos {
    lateness_max(Nanos::at_quantile(service, 0.5))
}

/// Returns the largest allowed p99.9 of the lag: a tenth of the p99 response.
pub fn tail_limit(response: &Histogram<u64>) -> Nanos {
    Nanos::at_quantile(response, 0.99) / TENTH
}

/// Returns the lateness that a measured time tolerates.
pub(super) fn lateness_max(measured: Nanos) -> Nanos {
    LAG_FLOOR.max(measured / TENTH)
}

/// Returns the largest allowed lag of a request in a burst, for bursts at this distance.
pub fn burst_limit(gap: Nanos) -> Nanos {
    gap / 4
}
