//! Measurement that the user ended early.

use super::checks::Failure;
use crate::harness::record::recorder::{Tally, Window};

/// Extent of an interrupted run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Length of the measured part until the interrupt, in nanoseconds.
    pub measured_ns: u64,
    /// Planned length of the measured part, in nanoseconds.
    pub planned_ns: u64,
    /// Requests that were due but had no answer yet. No figure includes them.
    pub unfinished: u64,
    /// Requests that had ended, with success or failure.
    pub ended: u64,
}

impl Cut {
    /// Returns the cut of a run that was stopped at `at_ns`; `None` if all of the run was measured.
    pub(crate) fn at(at_ns: u64, window: Window, tally: &Tally) -> Option<Self> {
        let ended: u64 = tally.statuses.values().sum();
        let cut = Self {
            measured_ns: at_ns.min(window.end_ns).saturating_sub(window.start_ns),
            planned_ns: window.end_ns.saturating_sub(window.start_ns),
            unfinished: tally.scheduled.saturating_sub(tally.unsent + ended),
            ended,
        };
        (cut.measured_ns < cut.planned_ns || cut.unfinished > 0).then_some(cut)
    }

    /// Returns the share of due requests without an answer: mostly the slowest ones.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) const fn unfinished_share(self) -> f64 {
        let all = self.unfinished + self.ended;
        if all == 0 { 0.0 } else { self.unfinished as f64 / all as f64 }
    }
}

/// Returns true if a check that failed on part of a run would also fail on the whole run.
///
/// The other checks compare counts that agree only at the end, or wait for a later event.
pub(crate) const fn holds_of_a_part(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Answers(_)
            | Failure::Changes { .. }
            | Failure::Churn(_)
            | Failure::Errors { .. }
            | Failure::KeysUnread { .. }
            | Failure::MintedAgain { .. }
            | Failure::Rotation(_)
            | Failure::Waited { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::status::Status;

    #[test]
    fn a_cut_counts_what_was_due_and_not_answered() {
        let window = Window { start_ns: 100, end_ns: 1_100 };
        let statuses = [(Status::Http(200), 7), (Status::Timeout, 1)].into();
        let tally = Tally { scheduled: 10, statuses, ..Tally::default() };
        let cut = |at_ns| Cut::at(at_ns, window, &tally).unwrap();
        assert_eq!(cut(400), Cut { measured_ns: 300, planned_ns: 1_000, unfinished: 2, ended: 8 });
        assert!((cut(400).unfinished_share() - 0.2).abs() < 1e-12);
        assert_eq!(cut(50).measured_ns, 0);
        assert_eq!(cut(9_999).measured_ns, 1_000);
    }

    #[test]
    fn a_run_that_had_all_its_answers_was_not_cut() {
        let window = Window { start_ns: 0, end_ns: 5 };
        let tally = Tally { scheduled: 3, unsent: 3, ..Tally::default() };
        assert_eq!(Cut::at(6, window, &tally), None);
    }
}
