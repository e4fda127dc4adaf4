//! The end of the warm-up of a series, found by MSER-5.
//!
//! White, "An effective truncation heuristic for bias reduction in simulation output", Simulation 69(6),
//! 1997; White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics", WSC 2000.
//! The series is averaged in groups of five. The best cut minimises the standard error of the mean of
//! the averages after it.

use crate::harness::stats::float::float_of_size;

/// Number of values in each average.
pub(crate) const BATCH: usize = 5;
/// Minimum number of averages. With fewer, every cut is a guess.
const BATCHES_MIN: usize = 4;

/// End of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Values at the start that belong to the warm-up; a multiple of [`BATCH`].
    pub(crate) values: usize,
    /// True if the best cut is the longest one tried (half of the series): no steady rest was found.
    pub(crate) at_limit: bool,
}

/// Returns the cut of a series, or none if the series has fewer than 20 values.
///
/// Ignores the values after the last full group of five.
pub(crate) fn cut(series: &[f64]) -> Option<Cut> {
    let averages = averages(series);
    if averages.len() < BATCHES_MIN {
        return None;
    }
    let longest = averages.len() / 2;
    let mut best = (0, f64::INFINITY);
    for dropped in 0..=longest {
        let error = averages.get(dropped..).map_or(f64::INFINITY, squared_error);
        // Of equally good cuts, take the shortest.
        if error < best.1 {
            best = (dropped, error);
        }
    }
    Some(Cut { values: best.0 * BATCH, at_limit: best.0 == longest })
}

fn averages(series: &[f64]) -> Vec<f64> {
    series.chunks_exact(BATCH).map(mean).collect()
}

/// Returns the squared standard error of the mean, up to a constant factor.
fn squared_error(values: &[f64]) -> f64 {
    let (mean, size) = (mean(values), float_of_size(values.len()));
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (size * size)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float_of_size(values.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_series_says_nothing() {
        assert_eq!(cut(&[1.0; 19]), None);
        assert_eq!(cut(&[1.0; 20]), Some(Cut { values: 0, at_limit: false }));
    }

    #[test]
    fn a_series_that_only_rises_has_no_steady_rest() {
        let rising: Vec<f64> = (0..60).map(float_of_size).collect();
        assert_eq!(cut(&rising), Some(Cut { values: 30, at_limit: true }));
    }

    proptest! {
        #[test]
        fn a_step_is_cut_at_the_step(
            warm in 1_usize..8, rest in 9_usize..30, height in 10.0_f64..1000.0,
            noise in prop::collection::vec(-1.0_f64..1.0, 190)
        ) {
            let step = warm * BATCH;
            let level = |index: usize| if index < step { height } else { 0.0 };
            let series: Vec<f64> = (0..(warm + rest) * BATCH)
                .map(|index| 100.0 + level(index) + noise[index])
                .collect();
            let cut = cut(&series).unwrap();
            // Noise in the rest may make the cut a little longer, never shorter.
            prop_assert!(cut.values >= step, "{:?} at a step of {}", cut, step);
        }

        #[test]
        fn a_step_without_noise_is_cut_exactly(warm in 1_usize..10, rest in 10_usize..30) {
            let series: Vec<f64> = std::iter::repeat_n(9.0, warm * BATCH)
                .chain(std::iter::repeat_n(1.0, rest * BATCH))
                .collect();
            let expected = Cut { values: warm * BATCH, at_limit: warm == usize::midpoint(warm, rest) };
            prop_assert_eq!(cut(&series), Some(expected));
        }

        #[test]
        fn the_cut_depends_on_neither_scale_nor_level(
            series in prop::collection::vec(1.0_f64..100.0, 20..200)
        ) {
            // Powers of two: the arithmetic stays the same to the last bit.
            let scaled: Vec<f64> = series.iter().map(|value| value * 8.0).collect();
            prop_assert_eq!(cut(&series), cut(&scaled));
            // Rounding of a shift may change which of two equally good cuts is taken.
            let whole: Vec<f64> = series.iter().map(|value| value.round() * 5.0).collect();
            let shifted: Vec<f64> = whole.iter().map(|value| value + 1024.0).collect();
            let (one, other) = (cut(&whole).unwrap(), cut(&shifted).unwrap());
            let error = |cut: Cut| squared_error(&averages(&whole)[cut.values / BATCH..]);
            prop_assert!((error(one) - error(other)).abs() <= 1e-9 * error(one).max(1.0));
        }
    }
}
