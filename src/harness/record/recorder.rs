//! Latency histograms: one set per second and thread, merged off the timed path.
//!
//! The timed loop only increments counters of its own histograms. After each second it hands the
//! set to the collector and continues with a cleared one. The collector merges the threads' sets in
//! order, passes each second to the sink (the log files) and adds it to the totals.

use std::sync::mpsc::{Receiver, Sender};

use super::intervals::{Ended, INTERVAL, IntervalSet, Window};
use super::tally::Tally;
use super::witness::{Disturbance, Kept};
use crate::harness::class::Class;
use crate::harness::dialect::outcome::Status;
use crate::harness::nanos::Nanos;

/// The recorder of one generator thread.
#[derive(Debug)]
pub struct Recorder {
    window: Window,
    set: IntervalSet,
    full: Sender<IntervalSet>,
    empty: Receiver<IntervalSet>,
    tally: Tally,
    /// The end of each phase, on the run's clock.
    phase_ends: Vec<Nanos>,
}

impl Recorder {
    /// Creates a recorder for the requests of `window`. It hands full sets to `full` and takes
    /// cleared ones from `empty`.
    pub fn new(window: Window, full: Sender<IntervalSet>, empty: Receiver<IntervalSet>) -> Self {
        let tally = Tally::default();
        Self { window, set: IntervalSet::new(0), full, empty, tally, phase_ends: Vec::new() }
    }

    /// Records each phase separately too. The times `ends` count from the start of the window.
    #[must_use]
    pub fn with_phases(mut self, ends: &[Nanos]) -> Self {
        // The memory is allocated here, not in the timed loop. Its pages are first touched on use:
        // some hundred pages for each class and phase.
        self.tally.phases = (0..).zip(ends).map(|(index, _)| IntervalSet::new(index)).collect();
        let start = self.window.start;
        self.phase_ends = ends.iter().map(|end| start.saturating_add(*end)).collect();
        self
    }

    /// Keeps single answers too, with room for this number in each interval.
    #[must_use]
    pub fn with_trail(mut self, room: usize) -> Self {
        self.set = IntervalSet::with_room(self.set.index, room);
        self
    }

    /// Notes a disturbance of the timed thread, if single answers are kept.
    pub fn disturbed(&mut self, seen: Disturbance) {
        if self.set.trail.room() > 0 {
            self.set.trail.disturbances.push(seen);
        }
    }

    /// Hands over every set whose second is past. The caller calls this at least once a second.
    pub fn advance(&mut self, now: Nanos) {
        let last = self.window.intervals() - 1;
        let index = now.saturating_sub(self.window.start) / INTERVAL;
        while self.set.index < index.min(last) {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let index = self.set.index + 1;
        let mut next = self.empty.try_recv().unwrap_or_else(|_| self.fresh(index));
        next.index = index;
        // The collector outlives the threads. If it is gone, the run has failed elsewhere.
        let _ = self.full.send(std::mem::replace(&mut self.set, next));
    }

    fn fresh(&self, index: u64) -> IntervalSet {
        IntervalSet::with_room(index, self.set.trail.room())
    }

    /// Returns true if a request with this intended start is measured.
    pub fn measures(&self, intended: Nanos) -> bool {
        self.window.contains(intended)
    }

    /// Counts one request, and records it if its intended start is in the measured part.
    pub fn record(&mut self, ended: &Ended) {
        self.record_until(ended, ended.end);
    }

    /// Records a request that would have ended by `latest` with a perfect generator. Its response
    /// time counts up to then.
    pub(crate) fn record_until(&mut self, ended: &Ended, latest: Nanos) {
        let impeded = ended.cause.is_some_and(|cause| cause.remedy().is_some());
        self.tally.tokens += u64::from(ended.class.is_token());
        self.tally.refused += u64::from(ended.class == Class::Refused);
        self.tally.failures += u64::from(ended.class.is_failure() && !impeded);
        self.tally.impeded += u64::from(impeded);
        let answered = matches!(ended.status, Status::Http(_));
        self.tally.lost += u64::from(!answered);
        self.tally.answered += u64::from(answered && self.window.contains(ended.end));
        if !self.measures(ended.intended) {
            return;
        }
        *self.tally.statuses.entry(ended.status).or_default() += 1;
        if let Some(cause) = ended.cause {
            self.tally.count_cause(cause, 1);
        }
        self.advance(ended.end);
        *self.set.statuses.entry(ended.status).or_default() += 1;
        self.set.record_until(ended, latest);
        self.set.trail.keep(kept(ended, latest));
        // The phase is chosen by intended start, so that a backlog of one phase is not charged to
        // the next.
        let phase = self.phase_ends.partition_point(|end| *end <= ended.intended);
        if let Some(set) = self.tally.phases.get_mut(phase) {
            set.record_until(ended, latest);
        }
    }

    /// Hands over the present interval only, for a run that was cut short.
    pub fn abandon(self) -> Tally {
        let _ = self.full.send(self.set);
        self.tally
    }

    /// Hands over the remaining intervals, so that each thread delivers every interval exactly
    /// once.
    pub fn finish(mut self) -> Tally {
        let last = self.window.intervals() - 1;
        while self.set.index < last {
            self.hand_over();
        }
        let _ = self.full.send(self.set);
        self.tally
    }
}

/// Returns a request whose response time counts up to `latest`.
fn kept(ended: &Ended, latest: Nanos) -> Kept {
    let response = ended.end.saturating_sub(ended.intended);
    let lower = response.saturating_sub(ended.added);
    Kept::new(ended.class, ended.intended, lower, latest.saturating_sub(ended.intended))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::harness::dialect::outcome::Cause;
    use hdrhistogram::Histogram;
    use std::collections::BTreeMap;
    use std::sync::mpsc::channel;

    /// Returns a hit with a token that was acted on and written at its intended start.
    pub(crate) fn ended(intended_ns: u64, end_ns: u64) -> Ended {
        let intended = Nanos::new(intended_ns);
        Ended {
            class: Class::Hit,
            status: Status::Http(200),
            cause: None,
            intended,
            acted: intended,
            written: Some(intended),
            end: Nanos::new(end_ns),
            added: Nanos::ZERO,
        }
    }

    fn hits(set: &IntervalSet) -> &Histogram<u64> {
        &set.seen().find(|(class, _)| *class == Class::Hit).unwrap().1.response
    }

    #[test]
    fn failed_requests_are_counted_by_cause_and_those_of_this_machine_apart() {
        let (full, _sets) = channel();
        let window = Window { start: Nanos::new(100), end: Nanos::new(400) };
        let mut recorder = Recorder::new(window, full, channel().1);
        for (cause, intended) in
            [(Cause::NoToken, 99), (Cause::NoToken, 100), (Cause::LocalPorts, 200)]
        {
            let failed = Ended { class: Class::Error, cause: Some(cause), ..ended(intended, 300) };
            recorder.record(&failed);
        }
        recorder.record(&ended(100, 150));
        let tally = recorder.finish();
        assert_eq!((tally.tokens, tally.failures, tally.impeded), (1, 2, 1));
        assert_eq!(tally.causes, BTreeMap::from([(Cause::NoToken, 1), (Cause::LocalPorts, 1)]));
    }

    #[test]
    fn a_request_belongs_to_the_phase_in_which_it_was_meant_to_start() {
        let window = Window { start: Nanos::new(100), end: Nanos::new(400) };
        let mut tally = Tally::default();
        for thread in 0..2 {
            let (full, _sets) = channel();
            let mut recorder =
                Recorder::new(window, full, channel().1).with_phases(&[100, 300].map(Nanos::new));
            recorder.record(&ended(99, 110)); // warm-up
            recorder.record(&ended(100, 150));
            recorder.record(&ended(199, 390)); // ends in the next phase
            recorder.record(&ended(200, 210 + thread));
            recorder.record(&ended(399, 900)); // ends after the window
            tally.add(&recorder.finish());
        }
        let counts: Vec<u64> = tally.phases.iter().map(|set| hits(set).len()).collect();
        assert_eq!(counts, [4, 4]);
        assert_eq!(hits(&tally.phases[1]).max(), 501);
    }
}
