//! Axes: map values to places, and choose round numbers for the labels.

use crate::harness::stats::float::float;

/// Scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences have equal lengths.
    Linear,
    /// Equal ratios have equal lengths.
    Log,
}

/// Kind of the numbers of an axis, which decides how they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Plain numbers.
    Count,
    /// Microseconds, written in a suitable unit.
    Micros,
    /// Ratios of two numbers of the same kind.
    Ratio,
    /// `1 / (1 - p)` of a percentile, written as the percentile.
    Nines,
    /// Seconds since the beginning, written in a unit that suits the whole axis.
    Seconds,
}

/// Axis of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Scale of the axis.
    pub(crate) scale: Scale,
    /// Kind of the numbers.
    pub(crate) unit: Unit,
    /// Value at the beginning.
    pub(crate) from: f64,
    /// Value at the end, above `from`.
    pub(crate) to: f64,
}

/// Maximum number of labels. More would touch each other on a phone.
const TICKS_MAX: f64 = 6.0;
/// Least value on a latency axis, in microseconds. Shorter times are of no interest.
const LEAST_US: f64 = 1.0;

impl Axis {
    /// Returns a time axis in seconds, from zero.
    pub(crate) fn seconds(to: f64) -> Self {
        Self { scale: Scale::Linear, unit: Unit::Seconds, from: 0.0, to: positive(to) }
    }

    /// Returns a linear axis from zero to a round number that is at or above all `values`.
    pub(crate) fn counts(values: impl Iterator<Item = f64>) -> Self {
        let greatest = positive(values.fold(0.0, f64::max));
        let step = step(greatest / (TICKS_MAX - 1.0));
        let to = (greatest / step).ceil() * step;
        Self { scale: Scale::Linear, unit: Unit::Count, from: 0.0, to }
    }

    /// Returns a logarithmic axis of latencies that holds all `values`, with round numbers at both ends.
    pub(crate) fn latencies(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .map(|value| value.max(LEAST_US))
            .fold((f64::INFINITY, 0.0_f64), |(low, high), us| (low.min(us), high.max(us)));
        let (low, high) = if low <= high { (low, high) } else { (1.0, 1.0) };
        let from = round_down(low);
        let to = round_up(high).max(from * 10.0);
        Self { scale: Scale::Log, unit: Unit::Micros, from, to }
    }

    /// Returns an axis of ratios that holds all `values` and 1.
    ///
    /// The axis is logarithmic if the ratios span more than a factor of 3, because 0.5 is as far from 1
    /// as 2 is.
    pub(crate) fn ratios(values: impl Iterator<Item = f64>) -> Self {
        const WIDE: f64 = 3.0;
        let values = values.filter(|ratio| ratio.is_finite() && *ratio > 0.0);
        let (low, high) =
            values.fold((1.0_f64, 1.0_f64), |(low, high), r| (low.min(r), high.max(r)));
        if high / low > WIDE {
            let (from, to) = (round_down(low), round_up(high));
            return Self { scale: Scale::Log, unit: Unit::Ratio, from, to };
        }
        Self::around(low, high, 0.05)
    }

    /// Returns a linear axis of changes in per cent that holds all `values` and 0.
    pub(crate) fn changes(values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|change| change.is_finite());
        let (low, high) =
            values.fold((0.0_f64, 0.0_f64), |(low, high), c| (low.min(c), high.max(c)));
        Self::around(low, high, 1.0)
    }

    fn around(low: f64, high: f64, least: f64) -> Self {
        let every = step((high - low).max(least) / TICKS_MAX);
        let (from, to) = ((low / every).floor() * every, (high / every).ceil() * every);
        let to = to.max(from + every);
        Self { scale: Scale::Linear, unit: Unit::Ratio, from, to }
    }

    /// Returns the percentile axis for `samples` samples. The last sample is at `1 / (1 - p) = samples`.
    pub(crate) fn nines(samples: u64) -> Self {
        let to = float(samples).max(10.0);
        Self { scale: Scale::Log, unit: Unit::Nines, from: 1.0, to }
    }

    /// Returns the place of a value: 0 at the beginning, 1 at the end. Values outside are moved to the
    /// nearest end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let along = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
        };
        along.clamp(0.0, 1.0)
    }

    /// Returns the values of the labels with their texts, in order.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        match self.unit {
            Unit::Nines => self.percentiles(),
            Unit::Micros => self.rounds().map(|value| (value, latency(value))).collect(),
            Unit::Seconds => {
                let (length, name) = clock_unit(self.to);
                let every = step((self.to / length) / TICKS_MAX) * length;
                multiples(every, self.to)
                    .map(|value| (value, format!("{} {name}", plain(value / length))))
                    .collect()
            }
            Unit::Ratio if self.scale == Scale::Log => {
                self.rounds().map(|value| (value, plain(value))).collect()
            }
            Unit::Ratio => {
                let every = step((self.to - self.from) / TICKS_MAX);
                let first = (self.from / every).round() * every;
                let values = multiples(every, self.to - first).map(|value| first + value);
                values.map(|value| (value, plain(value))).collect()
            }
            Unit::Count => {
                let every = step(self.to / TICKS_MAX);
                multiples(every, self.to).map(|value| (value, thousands(value))).collect()
            }
        }
    }

    fn percentiles(&self) -> Vec<(f64, String)> {
        let decades = (1..20).map(|power| 10_f64.powi(power)).take_while(|nines| *nines <= self.to);
        // The median is the percentile that every reader looks for.
        [1.0, 2.0].into_iter().chain(decades).map(|nines| (nines, percentile(nines))).collect()
    }

    /// Returns the round numbers of a logarithmic axis. The more decades there are, the fewer numbers
    /// each gets.
    fn rounds(&self) -> impl Iterator<Item = f64> {
        let decades = (self.to / self.from).log10();
        let steps: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 4")]
        let every = (decades / TICKS_MAX).ceil().max(1.0) as usize;
        let powers = (-12..16).step_by(every).map(|power| 10_f64.powi(power));
        let values = powers.flat_map(|power| steps.iter().map(move |step| power * step));
        values.filter(|value| *value >= self.from * 0.999 && *value <= self.to * 1.001)
    }
}

/// Formats a latency in a suitable unit: `250 us`, `1.5 ms`, `12 s`.
pub(crate) fn latency(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1.0 => (us * 1e3, "ns"),
        us if us < 1e3 => (us, "us"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    format!("{} {unit}", plain(value))
}

/// Formats a percentile, given as `1 / (1 - p)`: 50, 99, 99.9.
pub(crate) fn percentile(nines: f64) -> String {
    let percent = 100.0 - 100.0 / nines;
    let digits = (nines.log10().ceil() - 1.0).clamp(0.0, 17.0);
    // As many digits as are needed to tell it from 100.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 17")]
    let text = format!("{percent:.*}", digits as usize + 1);
    trimmed(&text)
}

/// Formats a number with two decimals below 10, one below 100, else none; without needless zeros.
pub(crate) fn plain(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    trimmed(&format!("{value:.digits$}"))
}

/// Formats a number for a table: to the thousandth, and below 1 to three significant digits.
/// Microseconds keep their nanoseconds, and binary fractions lose their 17 digits.
pub(crate) fn rounded(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "3 to 326")]
    let digits = (2.0 - value.abs().log10().floor()).max(3.0) as usize;
    trimmed(&format!("{value:.digits$}"))
}

/// Formats a whole number with commas between the thousands.
pub(crate) fn thousands(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return plain(value);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn trimmed(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// Returns the unit of a time axis of this many seconds: its length in seconds, and its name.
const fn clock_unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        seconds if seconds < 600.0 => (1.0, "s"),
        seconds if seconds < 36_000.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

fn multiples(every: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..100)
        .map(move |count| f64::from(count) * every)
        .take_while(move |value| *value <= to * 1.001)
}

/// Returns the least of 1, 2, 5, 10, 20 .. (and 0.1, 0.2 ..) that is not below `least`.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(positive(least).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * 0.999_999).unwrap_or(power * 10.0)
}

fn round_up(value: f64) -> f64 {
    step(value)
}

fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [5.0, 2.0].map(|step| step * power);
    steps.into_iter().find(|step| *step <= value).unwrap_or(power)
}

fn positive(value: f64) -> f64 {
    if value.is_finite() && value > 0.0 { value } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_in_the_unit_that_suits_them() {
        for (us, text) in [
            (0.05, "50 ns"),
            (1.0, "1 us"),
            (250.0, "250 us"),
            (1500.0, "1.5 ms"),
            (1e6, "1 s"),
            (2.5e7, "25 s"),
        ] {
            assert_eq!(latency(us), text);
        }
        for (nines, text) in [
            (1.0, "0"),
            (2.0, "50"),
            (10.0, "90"),
            (100.0, "99"),
            (1000.0, "99.9"),
            (100_000.0, "99.999"),
        ] {
            assert_eq!(percentile(nines), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (64.639, "64.639"),
            (0.063, "0.063"),
            (0.000_123_456, "0.000123"),
            (4_970.466_666_666_667, "4970.467"),
            (-1.0 / 3.0, "-0.333"),
            (149_114.0, "149114"),
        ] {
            assert_eq!(rounded(value), text);
        }
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(0.5), "0.5");
    }

    #[test]
    fn ticks_are_round_and_few() {
        let labels =
            |axis: Axis| axis.ticks().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(
            labels(Axis::seconds(30.0)),
            ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s"]
        );
        assert_eq!(labels(Axis::counts([5100.0].into_iter())).last().unwrap(), "6,000");
        let wide = Axis::latencies([50.0, 7000.0].into_iter());
        assert_eq!(labels(wide), ["100 us", "1 ms", "10 ms"]);
        let narrow = Axis::latencies([60.0, 300.0].into_iter());
        assert_eq!(labels(narrow), ["50 us", "100 us", "200 us", "500 us"]);
        assert_eq!(labels(Axis::nines(20_000)), ["0", "50", "90", "99", "99.9", "99.99"]);
    }

    proptest! {
        #[test]
        fn every_value_has_its_place_between_the_ends(
            values in prop::collection::vec(0.0_f64..1e9, 1..20),
        ) {
            for axis in [Axis::latencies(values.iter().copied()), Axis::counts(values.iter().copied()), Axis::ratios(values.iter().copied())] {
                prop_assert!(axis.to > axis.from, "{axis:?}");
                prop_assert!(axis.to >= values.iter().copied().fold(0.0, f64::max) * 0.999_999);
                let places = values.iter().map(|value| axis.place(*value));
                prop_assert!(places.into_iter().all(|place| (0.0..=1.0).contains(&place)));
                let ticks = axis.ticks();
                prop_assert!((2..=9).contains(&ticks.len()), "{ticks:?}");
                prop_assert!(ticks.is_sorted_by(|a, b| a.0 < b.0 && axis.place(a.0) < axis.place(b.0)));
            }
        }
    }
}
