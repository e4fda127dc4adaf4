//! Spoiled time, in which a disturbance may lengthen response times: by a fluid model of the target's queue.
//!
//! While something else has a core, the target's backlog grows by the length of the disturbance. Afterwards it drains
//! with the capacity that the load leaves free. The model takes disturbances from witnesses only. It uses no latency
//! and no number of outstanding requests, so that a stall of the target itself is never left out.

use crate::harness::nanos::Nanos;
use crate::harness::record::witness::{Disturbance, WitnessSet};

/// Utilisation of the target, and its origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Utilisation {
    /// Share of its capacity that the target used, as the kernel counted it.
    Measured(f64),
    /// Unknown: the target is elsewhere, or cannot be seen.
    Unknown,
}

/// Utilisation that is taken for an unknown one.
const ASSUMED: f64 = 0.5;
/// Margin above the utilisation. A burst is served more slowly than steady work, and the load of
/// single moments is above its mean.
const MARGIN: f64 = 0.15;
/// Largest utilisation to drain with. Above it a backlog would never end.
const HIGHEST: f64 = 0.95;

impl Utilisation {
    /// Returns the share of capacity that is free to drain a backlog.
    fn free(self) -> f64 {
        let used = match self {
            Self::Measured(used) => used,
            Self::Unknown => ASSUMED,
        };
        1.0 - (used + MARGIN).min(HIGHEST)
    }
}

/// Stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    /// Witnesses of its disturbances.
    pub(super) witnesses: WitnessSet,
}

impl Span {
    /// Returns the part of the stretch between two instants; none if it is empty.
    pub(super) fn within(self, from: Nanos, to: Nanos) -> Option<Self> {
        let (from, to) = (self.from.max(from), self.to.min(to));
        (from < to).then_some(Self { from, to, ..self })
    }

    /// Adds a stretch that begins in this one, or at its end. Returns false for any other.
    pub(super) fn join(&mut self, next: Self) -> bool {
        let joined = next.from <= self.to;
        if joined {
            self.to = self.to.max(next.to);
            self.witnesses = self.witnesses.with(next.witnesses);
        }
        joined
    }
}

/// Returns the spoiled time, in order and without overlaps: from each disturbance until its backlog has drained.
/// The disturbances must be sorted by their beginnings.
pub(super) fn spoiled(disturbances: &[Disturbance], utilisation: Utilisation) -> Vec<Span> {
    let free = utilisation.free();
    let mut spans: Vec<Span> = Vec::new();
    // Backlog at the instant `at`.
    let (mut backlog, mut at) = (0.0_f64, Nanos::ZERO);
    for Disturbance { from, to, lost, witness } in disturbances {
        // The time is lost at the end of the disturbance, which is the worst case.
        let drained = to.saturating_sub(*lost).saturating_sub(at).as_f64() * free;
        backlog = (backlog - drained).max(0.0) + lost.as_f64();
        at = at.max(*to);
        let until = at.saturating_add(whole(backlog / free));
        let span = Span { from: *from, to: until, witnesses: (*witness).into() };
        if !spans.last_mut().is_some_and(|last| last.join(span)) {
            spans.push(span);
        }
    }
    spans
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times are positive and saturate"
)]
fn whole(nanos: f64) -> Nanos {
    Nanos::new(nanos.ceil() as u64)
}

/// Returns the time from an instant to the next spoiled one; none if it is spoiled itself.
pub(super) fn distance(spans: &[Span], at: Nanos) -> Option<Nanos> {
    let next = spans.partition_point(|span| span.to <= at);
    match spans.get(next) {
        None => Some(Nanos::MAX),
        Some(span) if span.from <= at => None,
        Some(span) => Some(span.from - at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::witness::Witness;
    use proptest::prelude::*;

    fn seen(from: u64, to: u64, lost: u64) -> Disturbance {
        let [from, to, lost] = [from, to, lost].map(Nanos::new);
        Disturbance { from, to, lost, witness: Witness::TargetWait }
    }

    fn span(from: u64, to: u64) -> Span {
        let witnesses = Witness::TargetWait.into();
        Span { from: Nanos::new(from), to: Nanos::new(to), witnesses }
    }

    fn spans(disturbances: &[Disturbance], used: f64) -> Vec<(u64, u64)> {
        let spans = spoiled(disturbances, Utilisation::Measured(used));
        spans.iter().map(|span| (span.from.as_u64(), span.to.as_u64())).collect()
    }

    #[test]
    fn a_backlog_drains_with_the_free_capacity() {
        // 0.35 + 0.15: half of the capacity is free.
        assert_eq!(spans(&[seen(1_000, 1_100, 100)], 0.35), [(1_000, 1_300)]);
        assert_eq!(spans(&[seen(1_000, 1_500, 100)], 0.35), [(1_000, 1_700)]);
        // 0.95 is the highest: 2,000 to drain.
        assert_eq!(spans(&[seen(1_000, 1_100, 100)], 3.0), [(1_000, 3_100)]);
        let assumed = spoiled(&[seen(1_000, 1_100, 35)], Utilisation::Unknown);
        assert_eq!(assumed, [span(1_000, 1_200)]);
        // The load paused: nothing to catch up with.
        assert_eq!(spans(&[seen(1_000, 1_100, 0)], 0.35), [(1_000, 1_100)]);
    }

    #[test]
    fn disturbances_in_a_row_add_up() {
        // After 100 ns half of the first backlog of 100 is left.
        let row = [seen(1_000, 1_100, 100), seen(1_200, 1_300, 100)];
        assert_eq!(spans(&row, 0.35), [(1_000, 1_600)]);
        let apart = [seen(1_000, 1_100, 100), seen(1_400, 1_500, 100)];
        assert_eq!(spans(&apart, 0.35), [(1_000, 1_300), (1_400, 1_700)]);
        // Two cores are gone at once.
        assert_eq!(spans(&[seen(0, 100, 100), seen(0, 100, 100)], 0.35), [(0, 500)]);
    }

    #[test]
    fn a_stretch_has_all_its_witnesses_and_is_cut_without_losing_them() {
        let of_clock = Disturbance { witness: Witness::GeneratorClock, ..seen(1_050, 1_150, 0) };
        let stretches = spoiled(&[seen(1_000, 1_100, 100), of_clock], Utilisation::Unknown);
        assert_eq!(stretches.len(), 1);
        let stretch = stretches[0];
        let names = |of: Span| of.witnesses.iter().collect::<Vec<Witness>>();
        assert_eq!(names(stretch), [Witness::GeneratorClock, Witness::TargetWait]);
        let cut = stretch.within(Nanos::new(1_100), Nanos::new(1_120)).unwrap();
        assert_eq!((cut.from, cut.to), (Nanos::new(1_100), Nanos::new(1_120)));
        assert_eq!(names(cut), names(stretch));
        assert_eq!(stretch.within(Nanos::ZERO, Nanos::new(1_000)), None);
        let mut joined = span(10, 20);
        assert!(joined.join(span(20, 30)) && !joined.join(span(31, 40)));
        assert_eq!(joined, span(10, 30));
    }

    #[test]
    fn the_distance_is_that_to_the_next_spoiled_instant() {
        let spans = [(10, 20), (40, 50)].map(|(from, to)| span(from, to));
        let at = |at| distance(&spans, Nanos::new(at)).map(Nanos::as_u64);
        assert_eq!([at(0), at(10), at(19)], [Some(10), None, None]);
        assert_eq!([at(20), at(39), at(40), at(50)], [Some(20), Some(1), None, Some(u64::MAX)]);
    }

    proptest! {
        #[test]
        fn spans_are_in_order_and_cover_every_disturbance(
            gaps in prop::collection::vec((0_u64..5_000, 1_u64..3_000, 0.0..1.0_f64), 1..50),
            used in 0.0..1.0_f64,
        ) {
            let mut at = 0;
            let all: Vec<Disturbance> = gaps
                .iter()
                .map(|(before, length, share)| {
                    at += before;
                    let lost = whole(Nanos::new(*length).as_f64() * share);
                    let [from, to] = [at, at + length].map(Nanos::new);
                    Disturbance { from, to, lost, witness: Witness::TargetWait }
                })
                .collect();
            let spans = spoiled(&all, Utilisation::Measured(used));
            prop_assert!(spans.is_sorted_by(|a, b| a.to < b.from));
            for seen in &all {
                prop_assert!(spans.iter().any(|s| s.from <= seen.from && s.to >= seen.to + seen.lost));
            }
        }
    }
}
