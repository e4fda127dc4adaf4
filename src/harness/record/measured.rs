//! Measurements of a run, merged over all generator threads.

use hdrhistogram::Histogram;

use super::collector::Totals;
use super::intervals::{Window, histogram};
use super::sample::Sampled;
use super::tally::Tally;
use super::witness::Neighbourhood;
use crate::harness::nanos::Nanos;
use crate::harness::schedule::sampling::GapSampling;

/// Measurements of a run.
#[derive(Debug)]
pub struct Measured {
    /// Merged histograms.
    pub totals: Totals,
    /// Summed counters of all threads.
    pub tally: Tally,
    /// Share of its time that the busiest thread was not waiting.
    pub busy_share: f64,
    /// Delay with which the loops noticed the ticks of a 1 kHz probe, in nanoseconds.
    pub hiccup: Histogram<u64>,
    /// Largest possible delay with which each answer was noticed, in nanoseconds.
    pub notice: Histogram<u64>,
    /// Data on how well the generator kept to its schedule.
    pub pacing: Pacing,
    /// Uniform sample of the answers of each class.
    pub samples: Vec<Sampled>,
    /// True if answers were too long to keep the requested number of samples.
    pub samples_full: bool,
    /// Time in which the schedule stood still, because something else than the target stopped a thread of the generator.
    pub paused: Nanos,
    /// Knowledge of the witnesses about the target and the generator's cores.
    pub neighbourhood: Neighbourhood,
    /// Extent of the run, if the user ended it early.
    pub cut: Option<Cut>,
}

/// Measurements of the pacing of a run.
#[derive(Debug)]
pub struct Pacing {
    /// Lag of the rehearsal, in nanoseconds; empty where there was none.
    pub rehearsal: Histogram<u64>,
    /// The sampled requests of all threads.
    pub sampled: Vec<Acted>,
    /// The sampling rule; none if the arrivals are not a Poisson stream.
    pub sampling: Option<GapSampling>,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { rehearsal: histogram(), sampled: Vec::new(), sampling: None }
    }
}

/// A sampled request: its intended start and the time when the generator acted on it, both
/// from the start of the measured part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The intended start.
    pub intended: Nanos,
    /// The time when the generator acted on it.
    pub acted: Nanos,
}

/// Extent of an interrupted run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Length of the measured part until the interrupt.
    pub measured: Nanos,
    /// Planned length of the measured part.
    pub planned: Nanos,
    /// Requests that were due but had no answer yet. No figure includes them.
    pub unfinished: u64,
    /// Requests that had ended, with success or failure.
    pub ended: u64,
}

impl Cut {
    /// Returns the cut of a run that was stopped at `at`; `None` if all of the run was measured.
    pub(crate) fn at(at: Nanos, window: Window, tally: &Tally) -> Option<Self> {
        let ended: u64 = tally.statuses.values().sum();
        let cut = Self {
            measured: at.min(window.end).saturating_sub(window.start),
            planned: window.end.saturating_sub(window.start),
            unfinished: tally.scheduled.saturating_sub(tally.unsent + ended),
            ended,
        };
        (cut.measured < cut.planned || cut.unfinished > 0).then_some(cut)
    }

    /// Returns the share of due requests without an answer: mostly the slowest ones.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) const fn unfinished_share(self) -> f64 {
        let all = self.unfinished + self.ended;
        if all == 0 { 0.0 } else { self.unfinished as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::dialect::outcome::Status;

    #[test]
    fn a_cut_counts_what_was_due_and_not_answered() {
        let window = Window { start: Nanos::new(100), end: Nanos::new(1_100) };
        let statuses = [(Status::Http(200), 7), (Status::Timeout, 1)].into();
        let tally = Tally { scheduled: 10, statuses, ..Tally::default() };
        let cut = |at| Cut::at(Nanos::new(at), window, &tally).unwrap();
        assert_eq!(
            cut(400),
            Cut { measured: Nanos::new(300), planned: Nanos::new(1_000), unfinished: 2, ended: 8 }
        );
        assert!((cut(400).unfinished_share() - 0.2).abs() < 1e-12);
        assert_eq!(cut(50).measured, Nanos::ZERO);
        assert_eq!(cut(9_999).measured, Nanos::new(1_000));
    }

    #[test]
    fn a_run_that_had_all_its_answers_was_not_cut() {
        let window = Window { start: Nanos::new(0), end: Nanos::new(5) };
        let tally = Tally { scheduled: 3, unsent: 3, ..Tally::default() };
        assert_eq!(Cut::at(Nanos::new(6), window, &tally), None);
    }
}
