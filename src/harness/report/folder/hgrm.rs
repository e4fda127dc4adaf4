//! The percentile distribution text of `HdrHistogram` (`.hgrm`), for its plotters.

use std::io::{self, Write};

use hdrhistogram::Histogram;

use crate::base::clock::us;

/// Lines per halving of the distance to 100 %, as `HdrHistogram` prints by default.
const TICKS_PER_HALF: f64 = 5.0;
/// Nanoseconds of the histogram per microsecond of the file.
const NS_PER_US: f64 = 1000.0;

/// Writes the distribution of a histogram in nanoseconds, with values in microseconds.
///
/// # Errors
/// Returns the error of `out`.
pub(crate) fn write(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    for Line { value, percent, count } in lines(histogram) {
        let (value, share) = (us(value), percent / 100.0);
        write!(out, "{value:>12.3} {share:>14.12} {count:>10}")?;
        if percent < 100.0 {
            write!(out, " {:>14.2}", 100.0 / (100.0 - percent))?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]",
        histogram.mean() / NS_PER_US,
        histogram.stdev() / NS_PER_US
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        us(histogram.max()),
        histogram.len()
    )?;
    writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", histogram.buckets(), SUB_BUCKETS)
}

/// Line of a distribution: `count` samples, at least `percent` of all, are at or below `value`.
struct Line {
    value: u64,
    percent: f64,
    count: u64,
}

/// Returns the lines that the Java library writes (its `PercentileIterator`). The crate's own iterator
/// adds up shares of 1 instead of per cents and rounds: 12 of 16 were less than its 75 %.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn lines(histogram: &Histogram<u64>) -> Vec<Line> {
    let (total, mut lines) = (histogram.len(), Vec::new());
    let (mut count, mut percent) = (0, 0.0);
    for step in histogram.iter_recorded() {
        count += step.count_at_value();
        let value = histogram.highest_equivalent(step.value_iterated_to());
        while 100.0 * count as f64 / total as f64 >= percent {
            lines.push(Line { value, percent, count });
            percent += 100.0 / ticks(percent);
            if count == total {
                break;
            }
        }
    }
    if let Some(&Line { value, .. }) = lines.last() {
        lines.push(Line { value, percent: 100.0, count: total });
    }
    lines
}

/// Returns the number of steps from 0 to 100 % at the step size of this percentage.
fn ticks(percent: f64) -> f64 {
    TICKS_PER_HALF * ((100.0 / (100.0 - percent)).log2().floor() + 1.0).exp2()
}

/// Values in a bucket. With three significant digits, `HdrHistogram` needs 2 x 10^3 values: 2^11.
const SUB_BUCKETS: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_ends_at_all_samples_and_has_its_footer() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        (1..=1000).for_each(|i| histogram.record(i * 1000).unwrap());
        let mut out = Vec::new();
        write(&histogram, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let fields: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(fields[1..], ["1.000000000000", "1000"], "{text}");
        assert!(text.contains("#[Max     ="), "{text}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }

    #[test]
    fn a_share_that_is_reached_exactly_is_reached() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        (1..=16).for_each(|i| histogram.record(i * 100).unwrap());
        let lines = lines(&histogram);
        let line = lines.iter().find(|line| line.percent >= 75.0).unwrap();
        assert_eq!((line.count, line.value), (12, 1200));
        assert_eq!(lines.last().map(|line| line.count), Some(16));
        assert!(super::lines(&Histogram::new(3).unwrap()).is_empty());
    }
}
