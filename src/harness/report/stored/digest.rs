//! The data of a report's charts, gathered in one pass over the logs of a run, in bounded memory.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;

use super::error::{StoredError, absent};
use super::log;
use super::log::{Head, Interval, each};
use crate::harness::class::Class;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::intervals::{Bound, histogram};
use crate::harness::stats::intervals::Counts;

/// Points of a line over time. No more fit beside each other on a page.
const POINTS_MAX: usize = 120;

/// One of the three latencies of a run over time.
#[derive(Debug)]
pub(crate) struct TimeSeries {
    /// All samples of each class.
    pub(crate) whole: BTreeMap<Class, Histogram<u64>>,
    /// Samples over time, in stretches for drawing.
    pub(crate) stretches: Blocks,
    /// Samples over time, in the stretches for confidence intervals.
    pub(crate) blocks: Blocks,
    /// End of the last interval, in seconds from the beginning.
    pub(crate) end_s: f64,
    /// Header of the log.
    pub(crate) head: Head,
}

/// Latency that the target causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latency {
    /// Latency that callers see, from the intended start.
    Response,
    /// Latency of the target, from the write.
    Service,
}

/// The three latencies of a run.
#[derive(Debug)]
pub(crate) struct Digest {
    /// Response times: ends minus intended starts.
    pub(crate) response: TimeSeries,
    /// Service times: ends minus writes.
    pub(crate) service: TimeSeries,
    /// Lateness of the generator.
    pub(crate) lag: TimeSeries,
}

impl Digest {
    /// Reads the logs of a folder.
    ///
    /// # Errors
    /// Returns [`StoredError`], which names the file and its fault.
    pub(crate) fn read(folder: &Path) -> Result<Self, StoredError> {
        if !folder.join("response.hlog").exists() && !folder.join("run.json").exists() {
            return Err(absent(folder));
        }
        let series = |name: &str| TimeSeries::read(&folder.join(name));
        Ok(Self {
            response: series("response.hlog")?,
            service: series("service.hlog")?,
            lag: series("lag.hlog")?,
        })
    }

    /// Returns one latency over time.
    pub(crate) const fn series(&self, latency: Latency) -> &TimeSeries {
        match latency {
            Latency::Response => &self.response,
            Latency::Service => &self.service,
        }
    }

    /// Returns the classes that have samples.
    pub(crate) fn classes(&self) -> Vec<Class> {
        self.response.whole.keys().copied().collect()
    }

    /// Extends the logs to at least this many seconds from their beginning, because the last seconds of
    /// a run may have no answers.
    pub(crate) fn reach(&mut self, end_s: f64) {
        for series in [&mut self.response, &mut self.service, &mut self.lag] {
            series.end_s = series.end_s.max(end_s);
        }
    }

    /// Sets the end of the logs of an interrupted run. Its last second counts as a whole one in the
    /// logs.
    pub(crate) const fn end(&mut self, end_s: f64) {
        self.response.end_s = end_s;
        self.service.end_s = end_s;
        self.lag.end_s = end_s;
    }

    /// Returns true if a log broke off.
    pub(crate) fn is_cut(&self) -> bool {
        [&self.response, &self.service, &self.lag].iter().any(|series| series.head.cut)
    }
}

impl TimeSeries {
    fn read(path: &Path) -> Result<Self, StoredError> {
        let mut series = Self {
            whole: BTreeMap::new(),
            stretches: Blocks::keeping(POINTS_MAX),
            blocks: Blocks::default(),
            end_s: 0.0,
            head: Head::default(),
        };
        series.head = each(path, &mut |interval| {
            if interval.bound == Bound::Upper {
                series.take(interval);
            }
        })?;
        Ok(series)
    }

    fn take(&mut self, interval: Interval) {
        let Interval { start, length, class, counts, .. } = interval;
        let whole = self.whole.entry(class).or_insert_with(histogram);
        for (value, times) in &counts {
            whole.saturating_record_n(*value, *times);
        }
        self.end_s = self.end_s.max((start + length).as_secs_f64());
        self.stretches.add(class, start.as_secs(), counts.clone());
        self.blocks.add(class, start.as_secs(), counts);
    }

    /// Returns the samples of all classes over time.
    pub(crate) fn together(&self) -> Vec<Counts> {
        let mut together = Vec::new();
        for class in self.whole.keys() {
            let stretches = self.stretches.of(*class);
            if together.len() < stretches.len() {
                together.resize(stretches.len(), Counts::new());
            }
            for (into, from) in together.iter_mut().zip(stretches) {
                log::add(into, from);
            }
        }
        together
    }

    /// Returns the start and the length of stretch number `index`, in seconds. The last one may be
    /// shorter.
    #[expect(clippy::cast_precision_loss, reason = "a run has far below 2^53 seconds")]
    pub(crate) fn span(&self, index: usize) -> (f64, f64) {
        let length = self.stretches.seconds() as f64;
        let start = index as f64 * length;
        (start, (self.end_s - start).min(length).max(0.001))
    }
}

/// Returns the number of samples.
pub(crate) fn total(counts: &[(u64, u64)]) -> u64 {
    counts.iter().map(|(_, times)| times).sum()
}

/// Returns the least value that a share `quantile` of the samples does not exceed, or none without
/// samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^53, and a share of them is positive"
)]
pub(crate) fn quantile(counts: &[(u64, u64)], quantile: f64) -> Option<u64> {
    let rank = ((quantile * total(counts) as f64).ceil() as u64).max(1);
    let mut seen = 0;
    let reached = counts.iter().find(|(_, times)| {
        seen += times;
        seen >= rank
    });
    reached.map(|(value, _)| *value)
}
