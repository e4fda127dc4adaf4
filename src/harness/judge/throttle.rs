//! Checks of a run in which VM 0 asks for more than its limit.

use std::fmt;

use crate::harness::record::measured::Measured;
use crate::harness::record::tally::FirstVm;
use crate::harness::scenario::run_plan::RunPlan;

/// Seconds beyond the load in which requests may be admitted: the limit of one second may be used at once, and the
/// last requests may come late.
const SLACK_S: f64 = 2.0;

/// What VM 0 got, warm-up included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Its limit, in requests per second.
    pub limit: u32,
    /// Length of the load, in seconds.
    pub seconds: f64,
    /// Its requests that got a token.
    pub tokens: u64,
    /// Its requests that were refused by the limit.
    pub throttled: u64,
}

impl Share {
    /// Returns the share of VM 0, if the run limits it.
    pub(super) fn of(plan: &RunPlan, measured: &Measured) -> Option<Self> {
        let limit = plan.workload.phases()?.limit?.get();
        let FirstVm { tokens, throttled } = measured.tally.first_vm;
        let duration = measured.cut.map_or(plan.duration, |cut| cut.measured);
        let length = plan.warmup.saturating_add(duration).saturating_add(measured.paused);
        Some(Self { limit, seconds: length.as_f64() / 1e9, tokens, throttled })
    }

    /// Returns true if VM 0 got what its limit allows, and no more. A half is enough, because a generator that is
    /// stopped for a while asks for less.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn is_fair(&self) -> bool {
        let (limit, tokens) = (f64::from(self.limit), self.tokens as f64);
        let asked = (self.tokens + self.throttled) as f64;
        let least = (limit * self.seconds).min(asked) / 2.0;
        (least..=limit * (self.seconds + SLACK_S)).contains(&tokens)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, seconds, tokens, throttled } = self;
        write!(
            f,
            "VM 0 got {tokens} tokens in {seconds:.0} s at its limit of {limit}/s, and {throttled} of its requests were throttled"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_gets_its_limit_over_the_length_and_neither_much_less_nor_more() {
        let is_fair =
            |tokens, throttled| Share { limit: 20, seconds: 10.0, tokens, throttled }.is_fair();
        for tokens in [100, 200, 220, 240] {
            assert!(is_fair(tokens, 2000), "{tokens}");
        }
        for tokens in [0, 99, 241, 400] {
            assert!(!is_fair(tokens, 2000), "{tokens}");
        }
        // It asked for little more than its limit at times.
        assert!(is_fair(60, 1));
    }
}
