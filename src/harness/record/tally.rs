//! Counters beside the histograms.

use std::collections::BTreeMap;

use super::intervals::IntervalSet;
use crate::harness::class::Class;
use crate::harness::dialect::outcome::{Cause, Status};

/// Counters of one thread at the end.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Outcomes of the requests of the measured part.
    pub statuses: BTreeMap<Status, u64>,
    /// Causes of the failures in the measured part.
    pub causes: BTreeMap<Cause, u64>,
    /// Requests that ended with a token, warm-up included.
    pub tokens: u64,
    /// Requests of the class `refused`, warm-up included. Another check judges if the refusals were
    /// right.
    pub refused: u64,
    /// Other requests that failed, warm-up included, except those in `impeded`.
    pub failures: u64,
    /// Requests for which this machine lacked a port, a file or memory, warm-up included.
    pub impeded: u64,
    /// Requests without an answer, which the target may or may not have served.
    pub lost: u64,
    /// Requests whose intended start lies in the measured part.
    pub scheduled: u64,
    /// Requests that the generator acted on within the measured part.
    pub acted: u64,
    /// Answers that arrived within the measured part, whatever the time of their requests.
    pub answered: u64,
    /// Requests of the measured part that the generator never acted on.
    pub unsent: u64,
    /// Connections made anew, warm-up included.
    pub reconnects: u64,
    /// Sessions opened under load, warm-up included.
    pub sessions: u64,
    /// Requests of VM 0, warm-up included.
    pub first_vm: FirstVm,
    /// Latencies of each phase, by intended start; empty for a run of one phase.
    pub phases: Vec<IntervalSet>,
}

/// Requests of VM 0, which a scenario may let ask for more than its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstVm {
    /// Requests that ended with a token.
    pub tokens: u64,
    /// Requests that a limit refused.
    pub throttled: u64,
}

impl FirstVm {
    /// Counts a request.
    pub const fn count(&mut self, class: Class) {
        if class.is_token() {
            self.tokens += 1;
        }
        if matches!(class, Class::Throttled) {
            self.throttled += 1;
        }
    }

    const fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.throttled += other.throttled;
    }
}

/// Number of details of one kind of cause that are told apart, such as numbers of bytes. A target
/// that breaks its answers anywhere gives a new one each time.
const DETAILS_MAX: usize = 8;

impl Tally {
    /// Counts failures. A detail beyond the first few of its kind is dropped, so that the number of
    /// causes is bounded, and nothing is allocated for the failures that follow.
    pub fn count_cause(&mut self, cause: Cause, count: u64) {
        let general = cause.in_general();
        let known = [cause, general].into_iter().find(|cause| self.causes.contains_key(cause));
        let key = known.unwrap_or_else(|| {
            let kin = self.causes.keys().filter(|other| other.in_general() == general).count();
            if kin < DETAILS_MAX { cause } else { general }
        });
        *self.causes.entry(key).or_default() += count;
    }

    /// Adds the counters of another thread.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        // Details come first, because a cause in general takes in every detail that is not yet known.
        for (cause, count) in other.causes.iter().rev() {
            self.count_cause(*cause, *count);
        }
        self.tokens += other.tokens;
        self.refused += other.refused;
        self.failures += other.failures;
        self.impeded += other.impeded;
        self.lost += other.lost;
        self.scheduled += other.scheduled;
        self.acted += other.acted;
        self.answered += other.answered;
        self.unsent += other.unsent;
        self.reconnects += other.reconnects;
        self.sessions += other.sessions;
        self.first_vm.add(other.first_vm);
        let missing =
            other.phases.iter().skip(self.phases.len()).map(|set| IntervalSet::new(set.index));
        self.phases.extend(missing);
        for (into, from) in self.phases.iter_mut().zip(&other.phases) {
            into.add(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_bounded_and_none_is_lost() {
        let mut tally = Tally::default();
        for bytes in 0..10_000 {
            tally.count_cause(Cause::Reset(Some(bytes)), 1);
            tally.count_cause(Cause::Closed(Some(bytes % 2)), 1);
        }
        let of = |tally: &Tally, cause| tally.causes.get(&cause).copied();
        assert_eq!(of(&tally, Cause::Reset(Some(0))), Some(1));
        assert_eq!(of(&tally, Cause::Reset(None)), Some(10_000 - 8));
        assert_eq!(of(&tally, Cause::Closed(Some(1))), Some(5_000));
        assert_eq!(tally.causes.len(), 8 + 1 + 2);
        let mut other = Tally::default();
        other.count_cause(Cause::Reset(Some(3)), 5);
        other.count_cause(Cause::Reset(Some(77_777)), 2);
        tally.add(&other);
        assert_eq!(of(&tally, Cause::Reset(Some(3))), Some(6));
        assert_eq!(of(&tally, Cause::Reset(None)), Some(10_000 - 8 + 2));
        assert_eq!(tally.causes.values().sum::<u64>(), 20_007);
        let mut whole = Tally::default();
        whole.add(&tally);
        assert_eq!(whole.causes, tally.causes);
    }
}
