//! The merged content of an interval log.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

/// Returns the sum of all lines of the log at `path`, in nanoseconds.
pub(crate) fn merged(path: &Path) -> Histogram<u64> {
    let text = std::fs::read(path).unwrap();
    let mut sum = Histogram::new(3).unwrap();
    for entry in IntervalLogIterator::new(&text) {
        // The lower bounds have lines of their own, with tags such as `hit.lower`.
        if let LogEntry::Interval(interval) = entry.unwrap()
            && !interval.tag().is_some_and(|tag| tag.as_str().contains('.'))
        {
            let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
            let one: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
            sum.add(one).unwrap();
        }
    }
    sum
}
