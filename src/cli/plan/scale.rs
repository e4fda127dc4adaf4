//! Size of the measurement behind a plan.

use std::time::Duration;

use super::args::PlanArgs;
use super::level_count::{FILL, held_out_levels, levels};

/// User-assigned identities of each VM for hits. With the VM's own identity this makes three keys, as in
/// `run steady`.
pub(super) const HIT_IDENTITIES: u32 = 2;

/// Size of the measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) duration: Duration,
    /// Warm-up at half of the rate, in which thousands of connections open. At the full rate, the backlog
    /// of that would take seconds to drain near saturation.
    pub(super) warmup: Duration,
    pub(super) vms: u32,
    /// First and largest rate for hits; `mints` is the same for mints.
    pub(super) hits: (f64, f64),
    pub(super) mints: (f64, f64),
    /// Maximum number of machines that boot.
    pub(super) storm: f64,
}

impl Scale {
    pub(super) fn of(args: &PlanArgs) -> Self {
        let scale = if args.quick { Self::QUICK } else { Self::WHOLE };
        Self { duration: args.levels_duration.unwrap_or(scale.duration), ..scale }
    }

    /// Returns the approximate number of levels of each stage: hits, mints and, if they are measured,
    /// storms and the mix.
    pub(super) fn stages(&self, args: &PlanArgs) -> Vec<u64> {
        let search = |(start, rate_max)| levels(&args.terms(start, rate_max));
        let mut stages = vec![FILL + search(self.hits), search(self.mints)];
        if !args.no_held_out {
            stages.extend(held_out_levels(search(self.mix())));
        }
        stages
    }

    /// Returns the number of keys that hits ask for.
    pub(super) fn keys(&self) -> f64 {
        f64::from(self.vms) * f64::from(HIT_IDENTITIES + 1)
    }

    /// Returns the first and the largest rate of a mix of hits and mints.
    pub(super) const fn mix(&self) -> (f64, f64) {
        (self.mints.0 * 4.0, self.hits.1)
    }

    const WHOLE: Self = Self {
        duration: Duration::from_secs(5),
        warmup: Duration::from_secs(2),
        vms: 1000,
        hits: (1000.0, 1e6),
        mints: (50.0, 1e5),
        // They must fit into the broker's mint queue.
        storm: 8000.0,
    };

    const QUICK: Self = Self {
        duration: Duration::from_secs(1),
        warmup: Duration::from_millis(200),
        vms: 50,
        hits: (400.0, 3200.0),
        mints: (50.0, 400.0),
        storm: 500.0,
    };
}
