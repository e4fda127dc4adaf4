//! Faults and disturbances of a run, as sentences with the figure, the limit and the remedy.

use std::fmt;

use super::limits::{BUSY_MAX, RATE_TOLERANCE, STEAL_MAX, THROTTLED_MAX};
use super::usable::Usable;
use crate::base::clock::{readable, readable_us, us};
use crate::harness::dialect::outcome::Cause;
use crate::harness::judge::gap_fit::GapFit;
use crate::harness::judge::steady_state::HitRatios;
use crate::harness::machine::host::strain::Paging;
use crate::harness::nanos::Nanos;
use crate::harness::record::measured::Cut;
use crate::harness::stats::stationarity::Drift;

/// A fault or a disturbance of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// A burst was still being written when it should have been over.
    Burst {
        /// The latest write, after the due time of the burst.
        max: Nanos,
        /// The limit.
        limit: Nanos,
    },
    /// The requests that were sent did not follow the random schedule.
    Gaps(GapFit),
    /// A generator thread was busy for too much of the time.
    Busy {
        /// The busy share.
        share: f64,
    },
    /// The cache hit ratio had not settled.
    HitRatio(HitRatios),
    /// The host stopped the generator's loop.
    Hiccup {
        /// The 99.9th percentile of the probe's lateness.
        p999: Nanos,
        /// The limit.
        limit: Nanos,
    },
    /// The generator's machine lacked something that connections need.
    Impeded {
        /// The resource that it lacked.
        cause: Cause,
        /// Requests that were not sent because of it.
        count: u64,
        /// The remedy.
        remedy: &'static str,
    },
    /// The user ended the run early.
    Interrupted(Cut),
    /// The p99 of the generator's lag exceeded the limit.
    Lag {
        /// The 99th percentile.
        p99: Nanos,
        /// The limit.
        limit: Nanos,
        /// The percentiles that stay usable.
        usable: Usable,
    },
    /// The p99.9 of the generator's lag exceeded the limit.
    LagTail {
        /// The 99.9th percentile.
        p999: Nanos,
        /// The limit.
        limit: Nanos,
    },
    /// The median is unknown.
    Median {
        /// The number of answers.
        count: u64,
    },
    /// No request ended that could be judged.
    NoRequests,
    /// The generator looked for answers too rarely.
    Notice {
        /// The 99th percentile.
        p99: Nanos,
        /// The limit.
        limit: Nanos,
        /// The percentiles that stay usable.
        usable: Usable,
    },
    /// The generator looked for answers too rarely for the tail.
    NoticeTail {
        /// The 99.9th percentile.
        p999: Nanos,
        /// The limit.
        limit: Nanos,
    },
    /// The generator waited for its own memory.
    Paging {
        /// The page faults and the swapped memory.
        paging: Paging,
        /// The allowed number of page faults.
        limit: u64,
    },
    /// The intended rate was missed.
    Rate {
        /// Requests that were scheduled.
        scheduled: u64,
        /// Requests that were acted on in time.
        acted: u64,
    },
    /// The hypervisor gave processor time to other machines.
    Steal {
        /// The share of the time that it took away.
        share: f64,
    },
    /// The quota of the control group was used up.
    Throttled {
        /// The share of the time for which the group was stopped.
        share: f64,
    },
    /// There was no steady state.
    Unsteady(Drift),
    /// Requests were scheduled but never sent.
    Unsent {
        /// The number of requests.
        count: u64,
    },
}

impl Reason {
    /// Returns the percentiles that stay usable if this is the only reason.
    pub const fn leaves(&self) -> Usable {
        match self {
            Self::Interrupted(cut) => Usable::with_unfinished(cut.unfinished_share()),
            Self::Busy { .. }
            | Self::Hiccup { .. }
            | Self::LagTail { .. }
            | Self::NoticeTail { .. }
            | Self::Paging { .. } => Usable::P90,
            Self::Lag { usable, .. } | Self::Notice { usable, .. } => *usable,
            Self::Steal { share } | Self::Throttled { share } => Usable::with_stalls(*share),
            // The load that was sent, or the target that answered, was not the intended one.
            Self::Burst { .. }
            | Self::Gaps(_)
            | Self::HitRatio(_)
            | Self::Impeded { .. }
            | Self::Median { .. }
            | Self::NoRequests
            | Self::Rate { .. }
            | Self::Unsent { .. }
            | Self::Unsteady(_) => Usable::Nothing,
        }
    }

    /// Returns true for a disturbance: the bounds of the response times hold what it added. Returns false if the load
    /// was not the intended one, or if there is no answer.
    pub const fn is_disturbance(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Gaps(_)
            | Self::HitRatio(_)
            | Self::Hiccup { .. }
            | Self::Lag { .. }
            | Self::LagTail { .. }
            | Self::Notice { .. }
            | Self::NoticeTail { .. }
            | Self::Paging { .. }
            | Self::Steal { .. }
            | Self::Throttled { .. }
            | Self::Unsteady(_) => true,
            Self::Burst { .. }
            | Self::Impeded { .. }
            | Self::Interrupted(_)
            | Self::Median { .. }
            | Self::NoRequests
            | Self::Rate { .. }
            | Self::Unsent { .. } => false,
        }
    }
}

impl Usable {
    /// Returns the percentiles that stay usable in a run with these reasons.
    pub fn of(reasons: &[Reason]) -> Self {
        reasons.iter().map(Reason::leaves).min().unwrap_or(Self::All)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Burst { max, limit } => write!(
                f,
                "a burst took {} to write, more than {} (a quarter of the time between bursts); lower --callers",
                readable(max.as_u64()),
                readable(limit.as_u64())
            ),
            Self::Busy { share } => write!(
                f,
                "the busiest generator thread worked {:.0} % of the time, more than {:.0} %; lower --rate or give it more --threads on more cores",
                share * 100.0,
                BUSY_MAX * 100.0
            ),
            Self::Gaps(fit) => gaps(fit, f),
            Self::HitRatio(ratios) => hit_ratios(ratios, f),
            Self::Hiccup { p999, limit } => write!(
                f,
                "the host stopped the generator: the p99.9 of its 1 kHz probe is {}, more than {} (a tenth of the p99 response); stop what else runs on this machine",
                readable(p999.as_u64()),
                readable(limit.as_u64())
            ),
            Self::Impeded { cause, count, remedy } => {
                write!(f, "this machine could not send {count} requests: {cause}; {remedy}")
            }
            Self::Interrupted(cut) => interrupted(*cut, f),
            Self::Lag { p99, limit, .. } => write!(
                f,
                "the generator was late: the p99 of its lag is {}, more than {} (a tenth of the median service time, at least 20 us); lower --rate or stop what else runs here",
                readable(p99.as_u64()),
                readable(limit.as_u64())
            ),
            Self::LagTail { p999, limit } => write!(
                f,
                "the generator was late in the tail: the p99.9 of its lag is {}, more than {} (a tenth of the p99 response); stop what else runs on this machine",
                readable(p999.as_u64()),
                readable(limit.as_u64())
            ),
            Self::Median { count } => median(*count, f),
            Self::NoRequests => {
                f.write_str("no request of the measured part has ended; raise --rate or --duration")
            }
            Self::Notice { p99, limit, .. } => write!(
                f,
                "the generator may have noticed answers late: by up to {} at the p99, more than {} (a tenth of the median service time, at least 20 us); lower --rate or give it more --threads on more cores",
                readable(p99.as_u64()),
                readable(limit.as_u64())
            ),
            Self::NoticeTail { p999, limit } => write!(
                f,
                "the generator may have noticed answers late in the tail: by up to {} at the p99.9, more than {} (a tenth of the p99 response); stop what else runs on this machine",
                readable(p999.as_u64()),
                readable(limit.as_u64())
            ),
            Self::Paging { paging, limit } => memory(*paging, *limit, f),
            Self::Rate { scheduled, acted } => write!(
                f,
                "the generator acted on {acted} requests in time where {scheduled} were meant, more than {:.0} % off; lower --rate or give it more --threads on more cores",
                RATE_TOLERANCE * 100.0
            ),
            Self::Steal { share } => stolen(*share, f),
            Self::Throttled { share } => throttled(*share, f),
            Self::Unsteady(drift) => unsteady(drift, f),
            Self::Unsent { count } => write!(
                f,
                "the generator did not get to {count} requests before the run ended, more than 0; lower --rate"
            ),
        }
    }
}

fn median(count: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the median is unknown: {count} answers, of which fewer than ten independent ones are beyond it; raise --rate or --duration"
    )
}

fn stolen(share: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the hypervisor took {:.1} % of the machine's time, more than {:.0} %; measure on another machine or at another time",
        share * 100.0,
        STEAL_MAX * 100.0
    )
}

fn gaps(fit: &GapFit, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "what arrived was not the random stream that was meant: {} gaps are {:.3} from an exponential distribution (Kolmogorov-Smirnov), more than {:.3}, and those of the schedule {:.3}; lower --rate or stop what else runs here",
        fit.gaps, fit.acted, fit.limit, fit.intended
    )
}

fn interrupted(cut: Cut, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [measured_s, planned_s] = [cut.measured, cut.planned].map(|time| us(time.as_u64()) / 1e6);
    write!(
        f,
        "interrupted after {measured_s:.1} s of {planned_s} s; {} requests were under way and are in no figure",
        cut.unfinished
    )
}

fn hit_ratios(ratios: &HitRatios, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the cache was not steady: {:.2} % hits in the first half and {:.2} % in the second, more than 1 % apart; raise --warmup, or lower --vms",
        ratios.first * 100.0,
        ratios.second * 100.0
    )
}

fn memory(paging: Paging, limit: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the generator waited for its own memory: {} page faults from disk, more than {limit} (one in ten seconds), and {} KiB more in swap, more than 0; free memory on this machine",
        paging.major_faults, paging.swapped_kib
    )
}

fn throttled(share: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "the CPU quota of the control group stopped the generator for {:.2} % of the time, more than {:.1} %; raise the quota (cpu.max) or measure outside of it",
        share * 100.0,
        THROTTLED_MAX * 100.0
    )
}

fn unsteady(Drift { first, second }: &Drift, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "there was no steady state: the p95 of a second was {} in the first half and {} in the second, more than a tenth apart, and their p99 intervals do not overlap; raise --warmup, lower --rate, or find out what grows",
        readable_us(first / 1000.0),
        readable_us(second / 1000.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_reason_decides() {
        let busy = Reason::Busy { share: 0.9 };
        assert_eq!(Usable::of(&[]), Usable::All);
        assert_eq!(Usable::of(std::slice::from_ref(&busy)).names(), ["p50", "p90"]);
        assert_eq!(Usable::of(&[busy, Reason::Unsent { count: 1 }]), Usable::Nothing);
    }
}
