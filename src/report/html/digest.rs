//! What a report draws, gathered while the logs of a run are read once, in bounded memory.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;

use crate::load::blocks::Blocks;
use crate::load::class::Class;
use crate::load::recorder::histogram;
use crate::report::stored::log::{Head, Interval, each};
use crate::report::stored::{StoredError, log};
use crate::stats::intervals::Counts;

/// Points of a line over time: no more fit beside each other on a page.
const POINTS_MAX: usize = 120;

/// One of the three latencies of a run.
#[derive(Debug)]
pub struct Course {
    /// All samples of each class.
    pub whole: BTreeMap<Class, Histogram<u64>>,
    /// The samples over time, in stretches for drawing.
    pub stretches: Blocks,
    /// The same in the stretches that confidence intervals are made from.
    pub blocks: Blocks,
    /// When the last interval ended, in seconds from the beginning.
    pub end_s: f64,
    /// What the log says of itself.
    pub head: Head,
}

/// One of the two that a target answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// What callers feel.
    Response,
    /// What the target takes.
    Service,
}

/// The three latencies.
#[derive(Debug)]
pub struct Digest {
    /// Ends minus intended starts.
    pub response: Course,
    /// Ends minus writes.
    pub service: Course,
    /// How late the generator acted.
    pub lag: Course,
}

impl Digest {
    /// Reads the logs of a folder.
    ///
    /// # Errors
    /// [`StoredError`] names the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, StoredError> {
        if !folder.join("response.hlog").exists() && !folder.join("run.json").exists() {
            return Err(StoredError::Absent(folder.to_owned()));
        }
        let course = |name: &str| Course::read(&folder.join(name));
        Ok(Self {
            response: course("response.hlog")?,
            service: course("service.hlog")?,
            lag: course("lag.hlog")?,
        })
    }

    /// The course of one latency.
    pub const fn course(&self, latency: Latency) -> &Course {
        match latency {
            Latency::Response => &self.response,
            Latency::Service => &self.service,
        }
    }

    /// The classes that were seen.
    pub fn classes(&self) -> Vec<Class> {
        self.response.whole.keys().copied().collect()
    }

    /// Makes the logs end no earlier than this many seconds from their beginning: at the end
    /// of a run there may be seconds without an answer.
    pub fn reach(&mut self, end_s: f64) {
        for course in [&mut self.response, &mut self.service, &mut self.lag] {
            course.end_s = course.end_s.max(end_s);
        }
    }

    /// Makes the logs end where an interrupted run did: they hold a whole second for its last one.
    pub const fn end(&mut self, end_s: f64) {
        self.response.end_s = end_s;
        self.service.end_s = end_s;
        self.lag.end_s = end_s;
    }

    /// Whether a log broke off.
    pub fn is_cut(&self) -> bool {
        [&self.response, &self.service, &self.lag].iter().any(|course| course.head.cut)
    }
}

impl Course {
    fn read(path: &Path) -> Result<Self, StoredError> {
        let mut course = Self {
            whole: BTreeMap::new(),
            stretches: Blocks::keeping(POINTS_MAX),
            blocks: Blocks::default(),
            end_s: 0.0,
            head: Head::default(),
        };
        course.head = each(path, &mut |interval| course.take(interval))?;
        Ok(course)
    }

    fn take(&mut self, interval: Interval) {
        let Interval { start, length, class, counts } = interval;
        let whole = self.whole.entry(class).or_insert_with(histogram);
        for (value, times) in &counts {
            whole.saturating_record_n(*value, *times);
        }
        self.end_s = self.end_s.max((start + length).as_secs_f64());
        self.stretches.add(class, start.as_secs(), counts.clone());
        self.blocks.add(class, start.as_secs(), counts);
    }

    /// The samples of all classes over time.
    pub fn together(&self) -> Vec<Counts> {
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

    /// Where stretch number `index` begins and how long it is, in seconds: the last may be shorter.
    #[expect(clippy::cast_precision_loss, reason = "a run has far below 2^53 seconds")]
    pub fn span(&self, index: usize) -> (f64, f64) {
        let length = self.stretches.seconds() as f64;
        let start = index as f64 * length;
        (start, (self.end_s - start).min(length).max(0.001))
    }
}

/// How many samples there are.
pub fn total(counts: &[(u64, u64)]) -> u64 {
    counts.iter().map(|(_, times)| times).sum()
}

/// The least value that a share `quantile` of the samples does not exceed; none without samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^53, and a share of them is positive"
)]
pub fn quantile(counts: &[(u64, u64)], quantile: f64) -> Option<u64> {
    let rank = ((quantile * total(counts) as f64).ceil() as u64).max(1);
    let mut seen = 0;
    let reached = counts.iter().find(|(_, times)| {
        seen += times;
        seen >= rank
    });
    reached.map(|(value, _)| *value)
}
