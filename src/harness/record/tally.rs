//! Counters beside the histograms.

use std::collections::BTreeMap;

use super::intervals::IntervalSet;
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
    /// Answers whose time of arrival is a stamp of the kernel, warm-up included.
    pub stamped: u64,
    /// Latencies of each phase, by intended start; empty for a run of one phase.
    pub phases: Vec<IntervalSet>,
}

impl Tally {
    /// Adds the counters of another thread.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (cause, count) in &other.causes {
            *self.causes.entry(*cause).or_default() += count;
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
        self.stamped += other.stamped;
        let missing =
            other.phases.iter().skip(self.phases.len()).map(|set| IntervalSet::new(set.index));
        self.phases.extend(missing);
        for (into, from) in self.phases.iter_mut().zip(&other.phases) {
            into.add(from);
        }
    }
}
