//! Merged intervals of a run: the sets of all threads, summed second by second off the timed path.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};

use hdrhistogram::Histogram;

use super::blocks::Blocks;
use super::intervals::{IntervalSet, Rest, Window};
use super::witness::WitnessLog;
use crate::base::clock::UnixSeconds;
use crate::harness::stats::intervals::Counts;

/// Receiver of merged intervals as they complete.
pub trait IntervalSink: Send {
    /// Takes the measured window and its start time, before the load begins.
    ///
    /// # Errors
    /// Returns an error when the sink cannot write.
    fn begin(&mut self, window: Window, start: UnixSeconds) -> std::io::Result<()>;

    /// Takes one merged interval. Each interval comes once, in order.
    ///
    /// # Errors
    /// Returns an error when the sink cannot write.
    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> std::io::Result<()>;
}

/// Sink that ignores intervals, for runs whose totals are enough.
#[derive(Clone, Copy, Debug)]
pub struct Discard;

impl IntervalSink for Discard {
    fn begin(&mut self, _: Window, _: UnixSeconds) -> std::io::Result<()> {
        Ok(())
    }

    fn interval(&mut self, _: &IntervalSet, _: Rest<'_>) -> std::io::Result<()> {
        Ok(())
    }
}

/// Merged histograms of a run.
#[derive(Debug)]
pub struct Totals {
    /// Sum of the measured part.
    pub whole: IntervalSet,
    /// Response times of each interval, by class, for confidence intervals.
    pub responses: Blocks,
    /// Lower bounds of the response times of each interval, by class.
    pub lowers: Blocks,
}

/// Merges the sets that recorders send, until all have hung up.
///
/// The notes of the witnesses go into the trail of each second. Emptied sets go back to the threads in turn, through
/// `recycle`. `rest` is called between pieces of the work.
///
/// # Errors
/// Returns the error of the sink.
pub fn collect(
    full: &Receiver<IntervalSet>,
    recycle: &[Sender<IntervalSet>],
    log: &WitnessLog,
    sink: &mut dyn IntervalSink,
    rest: Rest<'_>,
) -> std::io::Result<Totals> {
    let threads = recycle.len();
    let mut waiting: BTreeMap<u64, (usize, IntervalSet)> = BTreeMap::new();
    let mut totals = Totals::default();
    let mut spare = recycle.iter().cycle();
    for set in full {
        let index = set.index;
        let mut done = None;
        match waiting.remove(&index) {
            None => {
                waiting.insert(index, (1, set));
            }
            Some((count, mut merged)) => {
                merged.add_resting(&set, rest);
                merged.trail.add(&set.trail);
                done = Some(set);
                waiting.insert(index, (count + 1, merged));
            }
        }
        if let Some((_, mut merged)) = first_complete(&mut waiting, threads) {
            merged.trail.hear(log);
            totals.take(&merged, sink, rest)?;
            give_back(merged, &mut spare, rest);
        }
        if let Some(set) = done {
            give_back(set, &mut spare, rest);
        }
    }
    // In a run that was cut short, not every thread had begun the last second.
    for (_, mut set) in waiting.into_values() {
        set.trail.hear(log);
        totals.take(&set, sink, rest)?;
    }
    Ok(totals)
}

fn first_complete(
    waiting: &mut BTreeMap<u64, (usize, IntervalSet)>,
    threads: usize,
) -> Option<(usize, IntervalSet)> {
    let first = waiting.first_entry().filter(|entry| entry.get().0 == threads)?;
    Some(first.remove())
}

fn give_back<'a>(
    mut set: IntervalSet,
    spare: &mut impl Iterator<Item = &'a Sender<IntervalSet>>,
    rest: Rest<'_>,
) {
    set.clear(rest);
    // A thread that has ended needs no set.
    if let Some(thread) = spare.next() {
        let _ = thread.send(set);
    }
}

impl Default for Totals {
    fn default() -> Self {
        let whole = IntervalSet::new(0);
        Self { whole, responses: Blocks::default(), lowers: Blocks::default() }
    }
}

impl Totals {
    fn take(
        &mut self,
        set: &IntervalSet,
        sink: &mut dyn IntervalSink,
        rest: Rest<'_>,
    ) -> std::io::Result<()> {
        for (class, latencies) in set.seen() {
            self.responses.add(class, set.index, counts(&latencies.response));
            rest();
            self.lowers.add(class, set.index, counts(&latencies.lower));
            rest();
        }
        self.whole.add_resting(set, rest);
        sink.interval(set, rest)
    }
}

fn counts(histogram: &Histogram<u64>) -> Counts {
    histogram
        .iter_recorded()
        .map(|step| (step.value_iterated_to(), step.count_at_value()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::intervals::INTERVAL;
    use super::super::recorder::Recorder;
    use super::super::recorder::tests::ended;
    use super::super::tally::Tally;
    use super::*;
    use crate::harness::class::Class;
    use crate::harness::dialect::outcome::Status;
    use crate::harness::nanos::Nanos;
    use std::sync::mpsc::channel;

    #[derive(Default)]
    struct Merged(Vec<(u64, u64)>);

    impl IntervalSink for Merged {
        fn begin(&mut self, _: Window, _: UnixSeconds) -> std::io::Result<()> {
            Ok(())
        }

        fn interval(&mut self, set: &IntervalSet, _: Rest<'_>) -> std::io::Result<()> {
            let count = set.seen().map(|(_, latencies)| latencies.response.len()).sum();
            self.0.push((set.index, count));
            Ok(())
        }
    }

    /// Recorders of two threads, and the ends of their channels that the collector holds.
    struct Threads {
        recorders: Vec<Recorder>,
        sets: Receiver<IntervalSet>,
        recycle: Vec<Sender<IntervalSet>>,
    }

    impl Threads {
        fn recording(window: Window) -> Self {
            let (full, sets) = channel();
            let (mut recycle, mut recorders) = (Vec::new(), Vec::new());
            for _ in 0..2 {
                let (sender, receiver) = channel();
                recycle.push(sender);
                recorders.push(Recorder::new(window, full.clone(), receiver));
            }
            Self { recorders, sets, recycle }
        }
    }

    #[test]
    fn threads_merge_in_order_and_nothing_is_lost_or_counted_twice() {
        const SECOND: u64 = INTERVAL.as_u64();
        let window = Window { start: INTERVAL, end: INTERVAL * 4 };
        let Threads { mut recorders, sets, recycle } = Threads::recording(window);
        recorders[0].record(&ended(0, 10)); // warm-up
        recorders[0].record(&ended(SECOND, SECOND + 10));
        recorders[1].record(&ended(SECOND + 5, 3 * SECOND + 1));
        recorders[1].record(&ended(4 * SECOND - 1, 9 * SECOND)); // ends after the window
        let mut tally = Tally::default();
        for recorder in recorders {
            tally.add(&recorder.finish());
        }
        let mut seen = Merged::default();
        let totals = collect(&sets, &recycle, &WitnessLog::default(), &mut seen, &|| ()).unwrap();
        assert_eq!(seen.0, [(0, 1), (1, 0), (2, 2)]);
        assert_eq!(totals.whole.seen().map(|(_, l)| l.response.len()).sum::<u64>(), 3);
        assert_eq!(totals.responses.of(Class::Hit).len(), 3);
        assert_eq!((tally.tokens, tally.statuses[&Status::Http(200)]), (4, 3));
    }

    #[test]
    fn a_second_that_only_some_threads_had_begun_when_the_run_was_cut_is_kept() {
        let window = Window { start: Nanos::ZERO, end: INTERVAL * 9 };
        let Threads { mut recorders, sets, recycle } = Threads::recording(window);
        let second = INTERVAL.as_u64();
        recorders[0].record(&ended(second - 2, second - 1));
        recorders[1].record(&ended(second, second + 1));
        for recorder in recorders {
            let _ = recorder.abandon();
        }
        let mut seen = Merged::default();
        let totals = collect(&sets, &recycle, &WitnessLog::default(), &mut seen, &|| ()).unwrap();
        assert_eq!(seen.0, [(0, 1), (1, 1)]);
        assert_eq!(totals.whole.seen().map(|(_, l)| l.response.len()).sum::<u64>(), 2);
    }
}
