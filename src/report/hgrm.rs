//! The percentile distribution text of `HdrHistogram` (`.hgrm`), as its plotters read it.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Lines per halving of the distance to 100 %; what `HdrHistogram` prints by default.
const TICKS_PER_HALF: u32 = 5;
/// The file is in microseconds, the histogram in nanoseconds.
const NS_PER_US: f64 = 1000.0;

/// Writes the distribution of a histogram in nanoseconds, values in microseconds.
///
/// # Errors
/// When `out` fails.
pub fn write(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        seen += step.count_since_last_iteration();
        let value = us(step.value_iterated_to());
        let quantile = step.quantile_iterated_to();
        let inverse = if quantile < 1.0 {
            format!("{:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            format!("{:>14}", "Infinity")
        };
        writeln!(out, "{value:>12.3} {quantile:>14.12} {seen:>10} {inverse}")?;
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

/// With three significant digits `HdrHistogram` needs 2 x 10^3 values in a bucket: 2^11.
const SUB_BUCKETS: u32 = 2048;

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 ns")]
fn us(ns: u64) -> f64 {
    ns as f64 / NS_PER_US
}

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
        assert_eq!(fields[2], "1000", "{text}");
        assert!(text.contains("#[Max     ="), "{text}");
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }
}
