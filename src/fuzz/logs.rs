//! Logs: histograms of a run, and counts of Valgrind.

use std::path::Path;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

use crate::harness::gate::count::profile::Profile;
use crate::harness::gate::count::trace::tallies;
use crate::harness::report::stored::log::{Bounds, Interval, Log};

/// Interval logs. The counts of each interval are the same after they were written and read again.
pub(super) fn interval_log(input: &[u8]) {
    let path = Path::new("response.hlog");
    let Ok(log) = Log::read_from(path, input) else { return };
    let _ = (log.has_lower(), log.classes());
    let Some(bounds) = log.head.bounds else { return };
    for interval in log.intervals.iter().chain(&log.lower) {
        let Some(line) = written(&bounds, interval) else { panic!("{interval:?}") };
        match Log::read_from(path, line.as_slice()) {
            Ok(again) => {
                let again = again.intervals.first().map(|again| again.counts.clone());
                assert_eq!(again.as_ref(), Some(&interval.counts));
            }
            Err(error) => panic!("{error}: {interval:?}"),
        }
    }
}

/// Writes the counts of an interval as a line.
fn written(bounds: &Bounds, interval: &Interval) -> Option<Vec<u8>> {
    let Bounds { low, high, digits } = *bounds;
    let mut histogram: Histogram<u64> = Histogram::new_with_bounds(low, high, digits).ok()?;
    for (value, times) in &interval.counts {
        histogram.record_n(*value, *times).ok()?;
    }
    let (mut line, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut bytes = Vec::new();
    serializer.serialize(&histogram, &mut bytes).ok()?;
    let mut writer =
        IntervalLogWriterBuilder::new().begin_log_with(&mut line, &mut serializer).ok()?;
    let (start, length) = (std::time::Duration::ZERO, interval.length);
    writer.write_histogram(&histogram, start, length, None).ok()?;
    Some(line)
}

/// Profiles of Callgrind, and logs of `--trace-malloc` and `--trace-syscalls`.
pub(super) fn valgrind(input: &[u8]) {
    let half = input.len() as u64 / 2;
    assert_eq!(tallies(input, &[half, input.len() as u64]).len(), 2);
    let Ok(text) = str::from_utf8(input) else { return };
    let _ = Profile::parse(text).map(|profile| profile.is_nameless());
}
