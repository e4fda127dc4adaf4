//! Answers of a run, sorted by what the witnesses saw of their time.

use std::collections::{BTreeMap, VecDeque};

use super::fluid::{Span, Utilisation, distance, spoiled};
use crate::harness::class::Class;
use crate::harness::nanos::Nanos;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::intervals::{INTERVAL, Rest, Window};
use crate::harness::record::witness::{Disturbance, Kept, Trail};
use crate::harness::stats::intervals::Counts;

/// Guards to choose from: powers of two from a quarter of a millisecond.
pub(super) const GUARDS: [Nanos; 10] = {
    let mut guards = [Nanos::ZERO; 10];
    let mut at = 0;
    while at < guards.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            guards[at] = Nanos::from_micros(250 << at);
        }
        at += 1;
    }
    guards
};

/// Time for which disturbances are remembered. A request of which the answer took longer counts as
/// disturbed.
const MEMORY: Nanos = Nanos::from_secs(60);

/// Most stretches of spoiled time that are listed. A busy neighbour makes some thirty each second.
const LISTED_MAX: usize = 100_000;

/// Answers sorted by their distance to the next disturbance.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Disturbances of the last minute, by their beginnings.
    pub(super) disturbances: VecDeque<Disturbance>,
    /// Answers whose time is not judged yet.
    pub(super) pending: Vec<Kept>,
    /// Number of all good answers of each class.
    pub(super) all: BTreeMap<Class, u64>,
    /// Response times by class and by the number of guards that keep them.
    pub(super) responses: Blocks<(Class, usize)>,
    /// Lower bounds of the same.
    pub(super) lower: Blocks<(Class, usize)>,
    pub(super) utilisation: Option<f64>,
    pub(super) dropped: u64,
    pub(super) seen: u64,
    pub(super) lost: Nanos,
    /// Spoiled time of the measured part, in order and without overlaps.
    pub(super) listed: Vec<Span>,
    /// Time up to which it is listed.
    listed_until: Nanos,
}

impl Sorted {
    pub(super) fn take(&mut self, trail: &Trail) {
        self.pending.extend_from_slice(&trail.requests);
        self.disturbances.extend(&trail.disturbances);
        self.disturbances.make_contiguous().sort_by_key(|seen| seen.from);
        self.utilisation = trail.utilisation.or(self.utilisation);
        self.dropped += trail.dropped;
        self.seen += trail.disturbances.len() as u64;
        self.lost += trail.disturbances.iter().map(|seen| seen.lost).sum();
    }

    /// Judges the answers to requests that were due before `until`.
    pub(super) fn judge_before(&mut self, until: Nanos, window: Window, rest: Rest<'_>) {
        let (ready, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition::<Vec<_>, _>(|kept| kept.intended < until);
        self.pending = pending;
        let used = self.utilisation();
        let spans = spoiled(self.disturbances.make_contiguous(), used);
        rest();
        self.list(&spans, until, window);
        self.store(&ready, &spans, window, rest);
        if until < Nanos::MAX {
            let old = until.saturating_sub(MEMORY);
            while self.disturbances.front().is_some_and(|seen| seen.to < old) {
                self.disturbances.pop_front();
            }
        }
    }

    /// Lists the spoiled time of the measured part before `until` that is not listed yet.
    fn list(&mut self, spans: &[Span], until: Nanos, window: Window) {
        let from = self.listed_until.max(window.start);
        let until = until.min(window.end);
        self.listed_until = until;
        for span in spans.iter().filter_map(|span| span.within(from, until)) {
            let joined = self.listed.last_mut().is_some_and(|last| last.join(span));
            if !joined && self.listed.len() < LISTED_MAX {
                self.listed.push(span);
            }
        }
    }

    fn utilisation(&self) -> Utilisation {
        self.utilisation.map_or(Utilisation::Unknown, Utilisation::Measured)
    }

    fn store(&mut self, ready: &[Kept], spans: &[Span], window: Window, rest: Rest<'_>) {
        let newest = ready.iter().map(|kept| kept.intended).max().unwrap_or_default();
        let mut groups: BTreeMap<(Class, usize, u64), [Vec<u64>; 2]> = BTreeMap::new();
        for kept in ready {
            *self.all.entry(kept.class).or_default() += 1;
            let remembered = kept.intended.saturating_add(MEMORY) > newest;
            let Some(distance) = distance(spans, kept.intended).filter(|_| remembered) else {
                continue;
            };
            let guards = GUARDS.partition_point(|guard| *guard <= distance);
            let second = kept.intended.saturating_sub(window.start) / INTERVAL;
            let [response, lower] = groups.entry((kept.class, guards, second)).or_default();
            response.push(rounded(kept.response_ns));
            lower.push(rounded(kept.lower_ns));
        }
        for ((class, guards, second), [response, lower]) in groups {
            self.responses.add((class, guards), second, counted(response));
            self.lower.add((class, guards), second, counted(lower));
            rest();
        }
    }
}

/// Rounds up to eleven binary digits, an error of at most 0.1 %, as the histograms do.
pub(super) fn rounded(nanos: u32) -> u64 {
    let spare = (u64::BITS - u64::from(nanos).leading_zeros()).saturating_sub(11);
    u64::from(nanos) | ((1 << spare) - 1)
}

fn counted(mut values: Vec<u64>) -> Counts {
    values.sort_unstable();
    values
        .chunk_by(|a, b| a == b)
        .filter_map(|equal| Some((*equal.first()?, equal.len() as u64)))
        .collect()
}
