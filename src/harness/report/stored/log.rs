//! Reads an interval log: `HdrHistogram` log format 1.3, one line for each second and class. A log
//! of response times has a second one with the lower bounds, unless an older version wrote it.
//!
//! The log is read line by line, so that a run of a day needs no more memory than one of a minute. The
//! sizes that a line claims are checked before memory is allocated for them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogIterator, LogEntry, Tag,
};

use super::error::{StoredError, malformed};
use crate::base::clock::UnixSeconds;
use crate::base::files;
use crate::base::files::ReadError;
use crate::harness::class::Class;
use crate::harness::record::intervals::Bound;
use crate::harness::report::folder::hlog::LOWER;
use crate::harness::stats::intervals::Counts;

/// Samples of one class in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Start, from the beginning of the log.
    pub start: Duration,
    /// Length of the stretch.
    pub length: Duration,
    /// Class of the samples.
    pub class: Class,
    /// Bound that the samples are.
    pub bound: Bound,
    /// Counts by value in nanoseconds, ascending. Each value is the highest of its bucket.
    pub counts: Counts,
}

/// Bounds of the histograms of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Least value that differs from zero.
    pub low: u64,
    /// Greatest value.
    pub high: u64,
    /// Significant decimal digits.
    pub digits: u8,
}

/// Facts about a log besides its intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Start of the first interval, if the log states it.
    pub start: Option<UnixSeconds>,
    /// Bounds of every histogram in the log; none for an empty log.
    pub bounds: Option<Bounds>,
    /// True if the last line broke off, because the run that wrote it was killed.
    pub cut: bool,
}

/// Whole log in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Facts about the log.
    pub head: Head,
    /// Intervals in the order of the file.
    pub intervals: Vec<Interval>,
    /// Intervals of lower bounds, in the order of the file; empty if the log has none.
    pub lower: Vec<Interval>,
}

impl Log {
    /// Reads a log into memory.
    ///
    /// # Errors
    /// Returns [`StoredError`] when the file cannot be read or is malformed.
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        Self::read_from(path, BufReader::new(files::open(path)?))
    }

    /// Reads the content of the log at `path` into memory.
    ///
    /// # Errors
    /// Returns [`StoredError`] when the content cannot be read or is malformed.
    pub(crate) fn read_from(path: &Path, content: impl BufRead) -> Result<Self, StoredError> {
        let (mut log, mut values) = (Self::default(), 0_usize);
        log.head = each_of(path, content, &mut |interval| {
            values = values.saturating_add(interval.counts.len());
            // Values beyond the limit are only counted.
            if values <= VALUES_MAX {
                log.keep(interval);
            }
        })?;
        if values > VALUES_MAX {
            return Err(StoredError::LongLog { path: path.to_owned(), values });
        }
        if log.head.cut {
            // The log may have broken off between the two lines of one interval.
            log.lower.truncate(log.intervals.len());
        }
        Ok(log)
    }

    fn keep(&mut self, interval: Interval) {
        match interval.bound {
            Bound::Lower => self.lower.push(interval),
            Bound::Upper => self.intervals.push(interval),
        }
    }

    /// Returns true if every sample has a lower bound.
    pub fn has_lower(&self) -> bool {
        let spans = |intervals: &[Interval]| {
            let mut spans: BTreeMap<_, u64> = BTreeMap::new();
            for Interval { start, class, counts, .. } in intervals {
                *spans.entry((*start, *class)).or_default() +=
                    counts.iter().map(|(_, times)| times).sum::<u64>();
            }
            spans
        };
        spans(&self.lower) == spans(&self.intervals)
    }

    /// Returns the samples of `class` by second, from the start of the log. Empty seconds take no
    /// memory.
    ///
    /// An interval that begins between two seconds belongs to the earlier one.
    pub fn seconds(&self, class: Class) -> BTreeMap<u64, Counts> {
        let mut seconds = BTreeMap::new();
        for interval in self.intervals.iter().filter(|interval| interval.class == class) {
            add(seconds.entry(interval.start.as_secs()).or_default(), &interval.counts);
        }
        seconds
    }

    /// Returns all samples of `class`.
    pub fn whole(&self, class: Class) -> Counts {
        let of_class = self.intervals.iter().filter(|interval| interval.class == class);
        let all: Counts = of_class.flat_map(|interval| interval.counts.iter().copied()).collect();
        let mut whole = Counts::new();
        add(&mut whole, &all);
        whole
    }

    /// Returns the classes with samples, in the order of [`Class::ALL`].
    pub fn classes(&self) -> Vec<Class> {
        let seen = |class: &Class| self.intervals.iter().any(|interval| interval.class == *class);
        Class::ALL.into_iter().filter(seen).collect()
    }
}

/// Adds counts to counts, and keeps the values ascending and unique.
pub fn add(into: &mut Counts, from: &[(u64, u64)]) {
    into.extend_from_slice(from);
    into.sort_unstable_by_key(|(value, _)| *value);
    into.dedup_by(|(value, times), (kept, kept_times)| {
        let equal = value == kept;
        if equal {
            *kept_times = kept_times.saturating_add(*times);
        }
        equal
    });
}

/// Passes every interval of a log to `visit`, in the order of the file.
///
/// # Errors
/// Returns [`StoredError`] when the file cannot be read or is malformed.
pub fn each(path: &Path, visit: &mut dyn FnMut(Interval)) -> Result<Head, StoredError> {
    each_of(path, BufReader::new(files::open(path)?), visit)
}

fn each_of(
    path: &Path,
    mut file: impl BufRead,
    visit: &mut dyn FnMut(Interval),
) -> Result<Head, StoredError> {
    let read = |source| ReadError::System { path: path.to_owned(), source };
    let (mut head, mut line, mut number) = (Head::default(), Vec::new(), 0_u64);
    let mut values = VALUES_FREE;
    loop {
        line.clear();
        // Bound the line, so that a file without line ends is not read into memory.
        file.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line).map_err(read)?;
        number += 1;
        if line.is_empty() {
            return Ok(head);
        }
        if line.last() != Some(&b'\n') {
            let ended = file.fill_buf().map_err(read)?.is_empty();
            head.cut = ended;
            let broke_off = (!ended).then(|| malformed(path, number, "it is too long"));
            return broke_off.map_or(Ok(head), Err);
        }
        let entry = parse(&line, &mut head).map_err(|what| malformed(path, number, what))?;
        let found = entry.as_ref().map_or(0, |interval| interval.counts.len());
        values = (values + VALUES_PER_BYTE * line.len())
            .checked_sub(found)
            .ok_or_else(|| malformed(path, number, "its histograms hold more values than fit"))?;
        entry.into_iter().for_each(&mut *visit);
    }
}

/// Maximum number of values for each byte of a log. Deflated data can grow a thousandfold; a run writes
/// one or two values per byte.
const VALUES_PER_BYTE: usize = 8;
/// Number of values that are always allowed, for short logs: 32 MB of memory.
const VALUES_FREE: usize = 2 << 20;
/// Maximum number of values of a log in memory: 2 GB. A run of a day has some 90 million.
const VALUES_MAX: usize = 1 << 27;

/// Maximum length of a line. The lines that a run writes have some kilobytes.
const LINE_MAX_BYTES: u64 = 4 << 20;
/// Maximum start of an interval: ten years. A later one is a damaged number.
const START_MAX_S: u64 = 10 * 366 * 86_400;

fn parse(line: &[u8], head: &mut Head) -> Result<Option<Interval>, &'static str> {
    match IntervalLogIterator::new(line).next() {
        None => Ok(None),
        Some(Err(_)) => Err("it is no line of an interval log"),
        Some(Ok(LogEntry::BaseTime(time) | LogEntry::StartTime(time))) => {
            head.start = Some(UnixSeconds(time.as_secs()));
            Ok(None)
        }
        Some(Ok(LogEntry::Interval(entry))) => interval(&entry, head).map(Some),
    }
}

fn interval(entry: &IntervalLogHistogram<'_>, head: &mut Head) -> Result<Interval, &'static str> {
    let (class, bound) = tagged(entry.tag().as_ref().map_or("", Tag::as_str));
    let class = class.ok_or("its tag is no class of answers")?;
    let start = entry.start_timestamp();
    if start.as_secs() > START_MAX_S || entry.duration().as_secs() > START_MAX_S {
        return Err("its time is years after the beginning of the log");
    }
    let histogram = histogram(entry.encoded_histogram())?;
    let bounds =
        Bounds { low: histogram.low(), high: histogram.high(), digits: histogram.sigfig() };
    if *head.bounds.get_or_insert(bounds) != bounds {
        return Err("its histogram has other bounds than those of the lines before it");
    }
    let recorded = histogram.iter_recorded();
    let counts = recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
    Ok(Interval { start, length: entry.duration(), class, bound, counts })
}

/// Returns the class and the bound that a tag names. A line without a tag is of all classes.
fn tagged(tag: &str) -> (Option<Class>, Bound) {
    let (name, bound) = match tag.strip_suffix(LOWER) {
        Some(name) => (name, Bound::Lower),
        None => (tag, Bound::Upper),
    };
    (if tag.is_empty() { Some(Class::All) } else { Class::named(name) }, bound)
}

/// First bytes of a deflated and of a plain histogram of version 2, as the Java library writes them.
const DEFLATED: u32 = 0x1c84_9314;
const PLAIN: u32 = 0x1c84_9313;
/// Length of the header before the counts: cookie, length, offset, digits, low, high, ratio.
const HEADER_BYTES: usize = 40;
/// Maximum inflated size: twice that of a run's histograms, at one byte for an empty bucket.
const INFLATED_MAX_BYTES: u64 = 1 << 20;
/// Maximum number of requests in a second, more than is possible. Sums of it stay far below 2^64.
const COUNT_MAX: u64 = 1 << 40;

/// Decodes a histogram, after checking the sizes that it claims.
fn histogram(encoded: &str) -> Result<Histogram<u64>, &'static str> {
    let bytes = STANDARD.decode(encoded).map_err(|_| "its histogram is not Base64")?;
    let plain = inflate(&bytes).ok_or("its histogram is not deflated data of version 2")?;
    let sound = is_sound(&plain).unwrap_or(false);
    let read = sound.then(|| Deserializer::new().deserialize(&mut plain.as_slice()).ok());
    let read: Option<Histogram<u64>> = read.flatten();
    let read = read.ok_or("its histogram is damaged")?;
    (read.len() <= COUNT_MAX).then_some(read).ok_or("its histogram counts more than is possible")
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    if number(bytes, 0)? != DEFLATED {
        return None;
    }
    let mut plain = Vec::new();
    let decoder = ZlibDecoder::new(bytes.get(8..)?);
    let length = decoder.take(INFLATED_MAX_BYTES).read_to_end(&mut plain).ok()?;
    ((length as u64) < INFLATED_MAX_BYTES).then_some(plain)
}

/// Returns true if it is safe to decode the data. The decoder allocates by the sizes in the header.
fn is_sound(plain: &[u8]) -> Option<bool> {
    /// Maximum number of digits. More make a histogram of tens of megabytes.
    const DIGITS_MAX: u32 = 4;
    /// Number of bytes in which a count must end. A longer number is a count beyond 2^48; eight such
    /// bytes overflow.
    const NUMBER_MAX_BYTES: usize = 7;
    let counts = plain.get(HEADER_BYTES..)?;
    let is_long = |bytes: &[u8]| bytes.iter().all(|byte| byte & 0x80 != 0);
    Some(
        number(plain, 0)? == PLAIN
            && number(plain, 4)? as usize == counts.len()
            && (1..=DIGITS_MAX).contains(&number(plain, 12)?)
            && !counts.windows(NUMBER_MAX_BYTES).any(is_long),
    )
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}
