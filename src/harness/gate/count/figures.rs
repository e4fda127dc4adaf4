//! Counts, changes and functions, as text.

use crate::harness::document::count::{CountedMetric, GrownFunction};

/// Returns the name of a metric: `hit.instructions`.
pub(super) fn name(metric: &CountedMetric) -> String {
    format!("{}.{}", metric.class, metric.work)
}

/// Returns a grown function as a line.
pub(super) fn line(function: &GrownFunction) -> String {
    let [base, candidate] = [function.base, function.candidate].map(number);
    format!(
        "{} {}: {base} to {candidate}, with what it calls {}",
        signed(function.change),
        function.function,
        signed(function.change_inclusive)
    )
}

/// Formats the counts of one build: one number, or two if they differ.
pub(super) fn range(counts: &[f64]) -> String {
    let least = counts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = counts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, most) = (number(least), number(most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// Formats the change of a metric with its share of the base.
pub(super) fn change(metric: &CountedMetric) -> String {
    let absolute = signed(metric.change);
    let base = mean(&metric.base);
    if base > 0.0 && absolute != "0" {
        format!("{absolute} ({:+.2} %)", metric.change / base * 100.0)
    } else {
        absolute
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of counts")]
fn mean(counts: &[f64]) -> f64 {
    counts.iter().sum::<f64>() / counts.len().max(1) as f64
}

/// Formats a count: `17,307`, or with a decimal where that matters.
pub(super) fn number(count: f64) -> String {
    let decimals = if count.abs() < 1000.0 { 10.0 } else { 1.0 };
    let rounded = (count * decimals).round() / decimals;
    let text = format!("{}", rounded.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(w, r)| (w, Some(r)));
    let sign = if rounded < 0.0 { "-" } else { "" };
    let rest = rest.map_or(String::new(), |rest| format!(".{rest}"));
    format!("{sign}{}{rest}", grouped(whole))
}

/// Puts a comma before every three digits.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a difference of counts with its sign.
pub(super) fn signed(count: f64) -> String {
    let text = number(count);
    if text == "0" || text.starts_with('-') { text } else { format!("+{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_and_small_ones_have_a_decimal() {
        for (count, expected) in [
            (17_307.4, "17,307"),
            (1_234_567.0, "1,234,567"),
            (999.94, "999.9"),
            (12.0, "12"),
            (0.04, "0"),
            (-1234.0, "-1,234"),
            (-0.04, "0"),
        ] {
            assert_eq!(number(count), expected);
        }
        assert_eq!([1.0, -1.0, 0.0].map(signed), ["+1", "-1", "0"]);
        assert_eq!(range(&[12.0, 12.0]), "12");
        assert_eq!(range(&[17_310.0, 17_307.0]), "17,307 to 17,310");
    }
}
