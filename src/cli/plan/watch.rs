//! Watches a level during its measurement, and ends it when its queue grows without end.

use std::io;

use hdrhistogram::Histogram;

use crate::base::clock::UnixSeconds;
use crate::harness::plan::core_use::CoreUse;
use crate::harness::plan::level::{GROWING_SECONDS, Level, filled, is_growing};
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::intervals::{IntervalSet, Rest, Window, histogram};
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::intervals::Counts;

/// Watches a level second by second, and ends it when its queue grows without end.
pub(super) struct LevelWatch {
    slo: Option<Objective>,
    seconds: Vec<Counts>,
    /// Answers with a token in each second. Requests given up or refused do not count for the pace.
    tokens: Vec<u64>,
    lag: Histogram<u64>,
    /// Length of the level in seconds.
    length: u64,
    /// True if the level was ended.
    pub(super) saturated: bool,
    /// Use of the broker's core in the measured part, once it is over.
    pub(super) core: Option<CoreUse>,
}

impl LevelWatch {
    /// Creates a watch. Without an objective it never ends a level.
    pub(super) fn new(slo: Option<&Objective>) -> Self {
        let (slo, lag) = (slo.cloned(), histogram());
        let (seconds, tokens) = (Vec::new(), Vec::new());
        Self { slo, seconds, tokens, lag, length: 0, saturated: false, core: None }
    }

    /// Returns the results of a level that was given up.
    #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
    pub(super) fn level(&self, offered: f64) -> Level {
        let all = filled(self.seconds.iter().flatten());
        // Requests of the warm-up are answered first, so the first of these seconds is not counted.
        let settled: u64 = self.tokens.iter().rev().take(GROWING_SECONDS - 1).sum();
        let at = |quantile| all.value_at_quantile(quantile) as f64;
        Level {
            offered,
            answered: settled as f64 / (GROWING_SECONDS - 1) as f64,
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            mean_ns: all.mean(),
            growing: true,
            generator: self.late(at(0.5)),
            ..Level::empty()
        }
        .with_core(self.core.as_ref())
    }

    /// Returns a reason if the generator caused the queue: its own lateness is more than half of the
    /// wait. A lateness far below the wait of such a queue did not cause it.
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
    fn late(&self, p50_ns: f64) -> Option<String> {
        let late_ns = self.lag.value_at_quantile(0.5) as f64;
        (late_ns > p50_ns / 2.0).then(|| {
            format!(
                "it was {:.1} us late at the p50 itself, more than half of the wait",
                late_ns / 1e3
            )
        })
    }
}

impl IntervalSink for LevelWatch {
    fn begin(&mut self, window: Window, _: UnixSeconds) -> io::Result<()> {
        self.length = window.intervals();
        Ok(())
    }

    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> io::Result<()> {
        let mut second = Counts::new();
        let mut tokens = 0;
        for (class, latencies) in set.seen() {
            tokens += if class.is_failure() { 0 } else { latencies.response.len() };
            let steps = latencies.response.iter_recorded();
            // All histograms have equal bounds, so adding cannot fail.
            let _ = self.lag.add(&latencies.lag);
            second.extend(steps.map(|step| (step.value_iterated_to(), step.count_at_value())));
            rest();
        }
        self.seconds.push(second);
        self.tokens.push(tokens);
        let growing = |slo: &Objective| is_growing(&self.seconds, slo.limit_ns());
        // The last second holds everything that was answered afterwards, and nothing is left to give up.
        let goes_on = (self.seconds.len() as u64) < self.length;
        if goes_on && self.slo.as_ref().is_some_and(growing) {
            self.saturated = true;
            return Err(io::Error::other("the queue grows without end"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::harness::nanos::Nanos;
    use crate::harness::record::recorder::Recorder;
    use crate::harness::record::recorder::tests::ended;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Watches a level of `seconds` seconds. In each of the first four, answers take a second more.
    fn watched(seconds: u64) -> LevelWatch {
        let window = Window { start: Nanos::ZERO, end: Nanos::from_secs(seconds) };
        let (full, sets) = channel();
        let mut recorder = Recorder::new(window, full, channel().1);
        for second in 0..4 {
            recorder.record(&ended(0, second * SECOND_NS + SECOND_NS / 2));
        }
        recorder.finish();
        let slo = "p99<2ms".parse().unwrap();
        let mut watch = LevelWatch::new(Some(&slo));
        watch.begin(window, UnixSeconds(0)).unwrap();
        let _ = sets.iter().try_for_each(|set| watch.interval(&set, &|| ()));
        watch
    }

    #[test]
    fn a_level_whose_queue_grows_is_given_up() {
        let watch = watched(8);
        assert!(watch.saturated && watch.level(100.0).growing);
    }

    #[test]
    fn a_level_that_has_been_measured_to_its_end_is_not_given_up() {
        assert!(!watched(4).saturated);
    }
}
