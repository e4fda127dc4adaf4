//! Isotonic regression: fits a non-decreasing curve to measurements.
//!
//! Uses the pool-adjacent-violators algorithm (Ayer, Brunk, Ewing, Reid and Silverman, 1955; Barlow et
//! al., *Statistical Inference under Order Restrictions*, 1972). It finds the one non-decreasing
//! sequence with the least weighted squared distance from the measurements.

/// Measurement with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Measured value.
    pub(crate) value: f64,
    /// Weight above 0, such as the number of repeats.
    pub(crate) weight: f64,
}

/// Neighbouring points that were pooled.
struct Pool {
    mean: f64,
    weight: f64,
    points: usize,
}

/// Returns the fitted value of each point, in the order of the points. The values never decrease.
pub(crate) fn non_decreasing(points: &[Point]) -> Vec<f64> {
    let mut pools: Vec<Pool> = Vec::with_capacity(points.len());
    for point in points {
        let mut pool = Pool { mean: point.value, weight: point.weight, points: 1 };
        while let Some(before) = pools.pop_if(|before| before.mean > pool.mean) {
            let weight = before.weight + pool.weight;
            let mean = (before.mean * before.weight + pool.mean * pool.weight) / weight;
            pool = Pool { mean, weight, points: before.points + pool.points };
        }
        pools.push(pool);
    }
    pools.iter().flat_map(|pool| std::iter::repeat_n(pool.mean, pool.points)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fit(values: &[f64]) -> Vec<f64> {
        let points: Vec<Point> =
            values.iter().map(|value| Point { value: *value, weight: 1.0 }).collect();
        non_decreasing(&points)
    }

    #[test]
    fn violators_are_pooled_to_their_mean() {
        assert_eq!(fit(&[1.0, 3.0, 2.0, 4.0]), [1.0, 2.5, 2.5, 4.0]);
        assert_eq!(fit(&[3.0, 2.0, 1.0]), [2.0, 2.0, 2.0]);
        assert_eq!(fit(&[]), [] as [f64; 0]);
        let heavy = [Point { value: 4.0, weight: 3.0 }, Point { value: 0.0, weight: 1.0 }];
        assert_eq!(non_decreasing(&heavy), [3.0, 3.0]);
    }

    fn points() -> impl Strategy<Value = Vec<Point>> {
        let point = (-1e3..1e3, 0.1..10.0).prop_map(|(value, weight)| Point { value, weight });
        prop::collection::vec(point, 1..40)
    }

    proptest! {
        #[test]
        fn the_fit_never_falls_keeps_the_mean_and_changes_nothing_twice(points in points()) {
            let once = non_decreasing(&points);
            prop_assert!(once.is_sorted());
            let mean = |values: &[f64]| -> f64 {
                values.iter().zip(&points).map(|(value, point)| value * point.weight).sum()
            };
            let values: Vec<f64> = points.iter().map(|point| point.value).collect();
            prop_assert!((mean(&once) - mean(&values)).abs() < 1e-6);
            let again: Vec<Point> = once.iter().zip(&points)
                .map(|(value, point)| Point { value: *value, weight: point.weight }).collect();
            let twice = non_decreasing(&again);
            prop_assert!(once.iter().zip(&twice).all(|(a, b)| (a - b).abs() < 1e-9));
        }

        #[test]
        fn what_rises_already_is_left_alone(mut values in prop::collection::vec(-1e3..1e3, 1..40)) {
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(fit(&values), values);
        }
    }
}
