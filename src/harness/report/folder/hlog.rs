//! The interval logs: `HdrHistogram` log format 1.3, one line for each second and class.
//!
//! The log of response times has a second line for each second and class, with the lower bounds. Its
//! tag is that of the class with [`LOWER`] at the end. It comes first, so that a log that broke off
//! has lower bounds for every recorded time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::base::clock::UnixSeconds;
use crate::harness::class::Class;
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::intervals::{Bound, INTERVAL, IntervalSet, Rest, Window};

/// End of the tag of a line with lower bounds.
pub(in crate::harness::report) const LOWER: &str = ".lower";

/// The three logs of a run, written during the run.
pub(crate) struct Logs {
    folder: PathBuf,
    /// None until the start of the measured part is known, because the header states it.
    begun: Option<Begun>,
    intervals: u64,
}

struct Begun {
    window: Window,
    response: Log,
    service: Log,
    lag: Log,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Logs {
    /// Prepares `response.hlog`, `service.hlog` and `lag.hlog` in `folder`.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder, begun: None, intervals: 0 }
    }

    /// Returns true if no interval with a request has been written.
    pub(crate) const fn is_empty(&self) -> bool {
        self.intervals == 0
    }
}

impl IntervalSink for Logs {
    fn begin(&mut self, window: Window, start: UnixSeconds) -> io::Result<()> {
        let log = |name: &str| Log::create(&self.folder.join(format!("{name}.hlog")), start);
        let (response, service, lag) = (log("response")?, log("service")?, log("lag")?);
        self.begun = Some(Begun { window, response, service, lag });
        Ok(())
    }

    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> io::Result<()> {
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let Begun { window, response, service, lag } = begun;
        let length = Duration::from(window.interval(set.index));
        for (class, latencies) in set.seen() {
            let span = Span { index: set.index, length, class, bound: Bound::Upper };
            response.append(Span { bound: Bound::Lower, ..span }, &latencies.lower)?;
            rest();
            for (log, histogram) in [
                (&mut *response, &latencies.response),
                (&mut *service, &latencies.service),
                (&mut *lag, &latencies.lag),
            ] {
                log.append(span, histogram)?;
                rest();
            }
        }
        // Flush, so that an interrupted run leaves whole lines.
        [response, service, lag].into_iter().try_for_each(|log| log.file.flush())?;
        self.intervals += u64::from(set.seen().next().is_some());
        Ok(())
    }
}

/// Writes a whole log.
///
/// # Errors
/// Returns an error when the file exists or cannot be written.
pub(in crate::harness::report) fn write(
    path: &Path,
    start: UnixSeconds,
    spans: &mut dyn Iterator<Item = (Span, Histogram<u64>)>,
) -> io::Result<()> {
    let mut log = Log::create(path, start)?;
    for (span, histogram) in spans {
        log.append(span, &histogram)?;
    }
    log.file.flush()
}

/// Second, class and bound of a line.
#[derive(Clone, Copy, Debug)]
pub(in crate::harness::report) struct Span {
    /// Number of the second, from 0.
    pub(in crate::harness::report) index: u64,
    /// Length of the interval. The last one may be shorter.
    pub(in crate::harness::report) length: Duration,
    /// Class of the samples.
    pub(in crate::harness::report) class: Class,
    /// Bound that the values are; the upper one for times that have no lower bound.
    pub(in crate::harness::report) bound: Bound,
}

/// Log file. The crate's writer borrows its file for life and cannot be stored beside it.
struct Log {
    file: BufWriter<File>,
    serializer: V2DeflateSerializer,
    buffer: Vec<u8>,
}

impl Log {
    fn create(path: &Path, start: UnixSeconds) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create_new(path)?);
        writeln!(file, "#[Values are in nanoseconds; Tag is the class of the answer]")?;
        writeln!(file, "#[Histogram log format version 1.3]")?;
        writeln!(file, "#[StartTime: {start}.000 (seconds since epoch)]")?;
        writeln!(file, "#[BaseTime: {start}.000 (seconds since epoch)]")?;
        writeln!(
            file,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        Ok(Self { file, serializer: V2DeflateSerializer::new(), buffer: Vec::new() })
    }

    fn append(&mut self, span: Span, histogram: &Histogram<u64>) -> io::Result<()> {
        self.buffer.clear();
        self.serializer
            .serialize(histogram, &mut self.buffer)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let Span { index, length, class, bound } = span;
        let start = index * Duration::from(INTERVAL).as_secs();
        let length = length.as_secs_f64();
        let encoded = STANDARD.encode(&self.buffer);
        let max = histogram.max();
        let lower = if bound == Bound::Lower { LOWER } else { "" };
        writeln!(self.file, "Tag={class}{lower},{start}.000,{length:.3},{max}.000,{encoded}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{
        IntervalLogHistogram, IntervalLogIterator, LogEntry,
    };

    use crate::harness::dialect::outcome::Status;
    use crate::harness::nanos::Nanos;
    use crate::harness::record::collector::collect;
    use crate::harness::record::intervals::Ended;
    use crate::harness::record::recorder::Recorder;
    use crate::harness::record::witness::WitnessLog;

    /// Returns the intervals of one hit that took 1020 ns, of which 300 may be the generator's, and the way
    /// back for emptied sets.
    fn one_request(window: Window) -> (Receiver<IntervalSet>, Sender<IntervalSet>) {
        let (full, sets) = channel();
        let (spare, empty) = channel();
        let mut recorder = Recorder::new(window, full, empty);
        recorder.record(&Ended {
            class: Class::Hit,
            status: Status::Http(200),
            cause: None,
            intended: Nanos::ZERO,
            acted: Nanos::new(10),
            written: Some(Nanos::new(20)),
            end: Nanos::new(1020),
            added: Nanos::new(300),
        });
        let _ = recorder.finish();
        (sets, spare)
    }

    #[test]
    fn an_interval_counts_once_the_disk_has_taken_it() {
        let full = || Log {
            file: BufWriter::new(File::options().write(true).open("/dev/full").unwrap()),
            serializer: V2DeflateSerializer::new(),
            buffer: Vec::new(),
        };
        let window = Window { start: Nanos::ZERO, end: INTERVAL };
        let begun = Begun { window, response: full(), service: full(), lag: full() };
        let mut logs = Logs { folder: PathBuf::new(), begun: Some(begun), intervals: 0 };
        let (sets, spare) = one_request(window);
        let error =
            collect(&sets, &[spare], &WitnessLog::default(), &mut logs, &|| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(logs.is_empty());
    }

    /// Logs the intervals of [`one_request`].
    fn logged(folder: &Path) {
        let mut logs = Logs::new(folder.to_owned());
        let window = Window { start: Nanos::ZERO, end: INTERVAL / 4 };
        logs.begin(window, UnixSeconds(1_700_000_000)).unwrap();
        assert!(logs.is_empty());
        let (sets, spare) = one_request(window);
        collect(&sets, &[spare], &WitnessLog::default(), &mut logs, &|| ()).unwrap();
        assert!(!logs.is_empty());
    }

    /// Returns tag, length, count and maximum of each line.
    fn lines(log: &Path) -> Vec<(String, Duration, u64, u64)> {
        let text = std::fs::read(log).unwrap();
        let entries = IntervalLogIterator::new(&text).map(Result::unwrap);
        let intervals = entries.filter_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        });
        let line = |interval: IntervalLogHistogram<'_>| {
            let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let read: Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            let tag = interval.tag().unwrap().as_str().to_owned();
            (tag, interval.duration(), read.len(), read.max())
        };
        intervals.map(line).collect()
    }

    #[test]
    fn what_is_logged_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        logged(folder.path());
        let quarter = Duration::from_millis(250);
        let lines = |name: &str| lines(&folder.path().join(name));
        assert_eq!(lines("service.hlog"), [("hit".to_owned(), quarter, 1, 1000)]);
        assert_eq!(
            lines("response.hlog"),
            [("hit.lower".to_owned(), quarter, 1, 720), ("hit".to_owned(), quarter, 1, 1020)]
        );
    }
}
