//! What is counted beside the histograms.

use std::collections::BTreeMap;

use super::cause::Cause;
use super::class::Status;
use super::recorder::IntervalSet;

/// What the counters of one thread say at the end.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How the requests of the measured part ended.
    pub statuses: BTreeMap<Status, u64>,
    /// Why requests of the measured part failed.
    pub causes: BTreeMap<Cause, u64>,
    /// Every request that ended with a token, warm-up included.
    pub tokens: u64,
    /// Every request of the class `refused`, warm-up included: whether that was due is judged apart.
    pub refused: u64,
    /// Every other request that was sent, warm-up included: it failed.
    pub failures: u64,
    /// Requests that this machine had no port, file or memory for, warm-up included.
    pub impeded: u64,
    /// Requests of which nobody knows whether they were served.
    pub lost: u64,
    /// Requests that were meant to start within the measured part.
    pub scheduled: u64,
    /// Requests that the generator acted on within the measured part.
    pub acted: u64,
    /// Answers that came within the measured part, whenever they were asked for.
    pub answered: u64,
    /// Requests of the measured part that it never acted on.
    pub unsent: u64,
    /// Connections made anew, warm-up included.
    pub reconnects: u64,
    /// Sessions opened under load, warm-up included.
    pub sessions: u64,
    /// The latencies of each phase, by intended start; empty where one phase is all of the run.
    pub phases: Vec<IntervalSet>,
}

impl Tally {
    /// Adds another thread's counters.
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
        let missing =
            other.phases.iter().skip(self.phases.len()).map(|set| IntervalSet::new(set.index));
        self.phases.extend(missing);
        for (into, from) in self.phases.iter_mut().zip(&other.phases) {
            into.add(from);
        }
    }
}
