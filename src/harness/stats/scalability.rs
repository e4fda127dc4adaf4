//! The universal scalability law: throughput as a function of concurrency, and its maximum.
//!
//! X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)). lambda is the throughput at N = 1, sigma the
//! contention (work that waits in line), kappa the coherency (work spent on agreeing with each other):
//! Gunther, *Guerrilla Capacity Planning*, 2007, chapter 4. N may be a number of cores. By Little's law,
//! it may also be the requests in the system (throughput times response time), which need not be whole
//! and may be below 1.
//!
//! The fit uses the linear form N/X = b0 + b1 (N - 1) + b2 N (N - 1) and least squares with coefficients
//! of at least 0. The weights assume errors in proportion to the value.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// Measured level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// Concurrency N, above 0.
    pub(crate) concurrency: f64,
    /// Throughput X, above 0, in any unit.
    pub(crate) throughput: f64,
}

/// Coefficients of the law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Law {
    /// Throughput at N = 1.
    pub(crate) lambda: f64,
    /// Contention, 0 or more.
    pub(crate) sigma: f64,
    /// Coherency, 0 or more.
    pub(crate) kappa: f64,
}

/// Reasons why there is no law, or no value at this concurrency.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ScalabilityError {
    /// There are too few different levels for three coefficients.
    #[error(
        "{0} different levels are too few for the scalability law; at least {LEVELS_MIN} are needed"
    )]
    Levels(usize),
    /// A value is zero, negative or not a number, or the levels span less than a doubling of the
    /// concurrency.
    #[error("the levels do not determine a scalability law")]
    Degenerate,
    /// The concurrency is too far beyond the measured levels.
    #[error(
        "the law was fitted up to a concurrency of {measured:.1} and says nothing about {wanted:.1}; at most twice as far"
    )]
    Extrapolation {
        /// Requested concurrency.
        wanted: f64,
        /// Largest measured concurrency.
        measured: f64,
    },
}

/// Law with the uncertainty of its coefficients.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fitted {
    /// Fit to all levels.
    pub(crate) law: Law,
    /// 95 % intervals of lambda, sigma and kappa, by resampling the levels.
    pub(crate) intervals: [(f64, f64); 3],
    /// Largest measured concurrency.
    pub(crate) measured_max: f64,
}

/// Minimum number of different levels. With fewer, nothing is left to judge the three coefficients by.
pub(crate) const LEVELS_MIN: usize = 6;
/// Maximum concurrency, as a multiple of the largest measured one. Beyond it, the law is a guess.
const EXTRAPOLATION_MAX: f64 = 2.0;
/// Minimum ratio of the largest to the smallest concurrency. A smaller span does not show how throughput
/// grows.
const GROWTH_MIN: f64 = 2.0;
/// Number of resamples, enough for the 2.5 % points of an interval.
const RESAMPLES: usize = 1000;

impl Law {
    /// Returns the throughput X(N).
    pub(crate) fn throughput(&self, concurrency: f64) -> f64 {
        let n = concurrency;
        self.lambda * n / (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0))
    }

    /// Returns the concurrency of the highest throughput, which may be below 1 by Little's law. Returns
    /// none if more concurrency never reduces the throughput.
    pub(crate) fn peak(&self) -> Option<f64> {
        (self.kappa > 0.0 && self.sigma < 1.0).then(|| ((1.0 - self.sigma) / self.kappa).sqrt())
    }

    /// Returns the throughput that no concurrency exceeds, or none if the law never saturates.
    pub(crate) fn ceiling(&self) -> Option<f64> {
        match self.peak() {
            Some(peak) => Some(self.throughput(peak)),
            None => (self.sigma > 0.0).then(|| self.lambda / self.sigma.min(1.0)),
        }
    }
}

impl Fitted {
    /// Returns the throughput X(N), for N up to twice the largest measured concurrency.
    ///
    /// # Errors
    /// Returns [`ScalabilityError::Extrapolation`] for a larger N.
    #[cfg_attr(not(test), expect(dead_code, reason = "no plan needs a value of the law yet"))]
    pub(crate) fn throughput(&self, concurrency: f64) -> Result<f64, ScalabilityError> {
        if concurrency > EXTRAPOLATION_MAX * self.measured_max {
            let measured = self.measured_max;
            return Err(ScalabilityError::Extrapolation { wanted: concurrency, measured });
        }
        Ok(self.law.throughput(concurrency))
    }
}

/// Fits the law to at least six different levels. `seed` seeds the resampling.
///
/// # Errors
/// Returns [`ScalabilityError`] when the levels do not determine the law.
pub(crate) fn fit(levels: &[Level], seed: u64) -> Result<Fitted, ScalabilityError> {
    let different = different(levels);
    if different < LEVELS_MIN {
        return Err(ScalabilityError::Levels(different));
    }
    if !grows(levels) {
        return Err(ScalabilityError::Degenerate);
    }
    let law = law(levels).ok_or(ScalabilityError::Degenerate)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drawn: Vec<Law> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let sample: Vec<Level> = (0..levels.len())
            .filter_map(|_| levels.get(rng.random_range(0..levels.len())).copied())
            .collect();
        // Three coefficients need at least three different concurrencies.
        if self::different(&sample) >= 3 {
            drawn.extend(self::law(&sample));
        }
    }
    let coefficients: [fn(&Law) -> f64; 3] = [|law| law.lambda, |law| law.sigma, |law| law.kappa];
    let intervals =
        coefficients.map(|coefficient| middle(drawn.iter().map(coefficient), &law, coefficient));
    let measured_max = levels.iter().map(|level| level.concurrency).fold(0.0, f64::max);
    Ok(Fitted { law, intervals, measured_max })
}

/// Returns the middle 95 % of the resampled values, widened to include the fit itself.
fn middle(values: impl Iterator<Item = f64>, law: &Law, of: fn(&Law) -> f64) -> (f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 40;
    let low = values.get(cut).copied().unwrap_or(0.0);
    let high = values.get(values.len().saturating_sub(cut + 1)).copied().unwrap_or(f64::INFINITY);
    (low.min(of(law)), high.max(of(law)))
}

/// Returns true if the concurrency at least doubles. Levels of a single load differ by chance alone.
fn grows(levels: &[Level]) -> bool {
    let places = levels.iter().map(|level| level.concurrency);
    let (low, high) = (places.clone().fold(f64::INFINITY, f64::min), places.fold(0.0, f64::max));
    high >= GROWTH_MIN * low
}

fn different(levels: &[Level]) -> usize {
    let mut places: Vec<f64> = levels.iter().map(|level| level.concurrency).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    places.len()
}

fn law(levels: &[Level]) -> Option<Law> {
    let sound = |value: f64| value.is_finite() && value > 0.0;
    if !levels.iter().all(|level| sound(level.concurrency) && sound(level.throughput)) {
        return None;
    }
    let [b0, b1, b2] = non_negative(levels)?;
    Some(Law { lambda: 1.0 / b0, sigma: b1 / b0, kappa: b2 / b0 })
}

/// Returns the best non-negative coefficients. With only three, every set of non-zero coefficients can
/// be tried: the optimum is the unconstrained fit of one of these sets (Lawson and Hanson, 1974, chapter
/// 23).
fn non_negative(levels: &[Level]) -> Option<[f64; 3]> {
    // b0 is 1/lambda and cannot be zero.
    let sets = [[true, true, true], [true, true, false], [true, false, true], [true, false, false]];
    let fits = sets.into_iter().filter_map(|set| least_squares(levels, set));
    let allowed = fits.filter(|b| b[0] > 0.0 && b[1] >= 0.0 && b[2] >= 0.0);
    allowed.min_by(|a, b| residual(levels, a).total_cmp(&residual(levels, b)))
}

/// Returns the terms of the linear form, and the value and weight of a level.
fn row(level: &Level) -> ([f64; 3], f64, f64) {
    let n = level.concurrency;
    let value = n / level.throughput;
    ([1.0, n - 1.0, n * (n - 1.0)], value, 1.0 / (value * value))
}

fn residual(levels: &[Level], b: &[f64; 3]) -> f64 {
    let square = |level: &Level| {
        let (terms, value, weight) = row(level);
        let fitted: f64 = terms.iter().zip(b).map(|(term, b)| term * b).sum();
        weight * (fitted - value).powi(2)
    };
    levels.iter().map(square).sum()
}

/// Solves the normal equations for the coefficients in `set`; the others are zero.
fn least_squares(levels: &[Level], set: [bool; 3]) -> Option<[f64; 3]> {
    let mut system = [[0.0; 4]; 3];
    for level in levels {
        let (terms, value, weight) = row(level);
        for (equation, term) in system.iter_mut().zip(terms) {
            for (cell, other) in equation.iter_mut().zip(terms.into_iter().chain([value])) {
                *cell += weight * term * other;
            }
        }
    }
    for (index, used) in set.into_iter().enumerate() {
        if !used {
            // Replace its equation with `b = 0`, and remove it from the others.
            for (row, equation) in system.iter_mut().enumerate() {
                for (column, cell) in equation.iter_mut().enumerate() {
                    if row == index || column == index {
                        *cell = if row == column { 1.0 } else { 0.0 };
                    }
                }
            }
        }
    }
    solve(system)
}

/// Solves the system by Gauss-Jordan elimination with pivots. Returns none when rounding makes a pivot
/// zero.
#[expect(clippy::indexing_slicing, reason = "indices below the fixed lengths 3 and 4")]
fn solve(mut system: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let size = |row: &usize| system[*row][column].abs();
        let pivot = (column..3).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        system.swap(column, pivot);
        let lead = system[column][column];
        let scale = system.iter().map(|row| row[column].abs()).fold(0.0, f64::max);
        if lead.abs() <= 1e-13 * scale || lead == 0.0 {
            return None;
        }
        for row in 0..3 {
            if row != column {
                let factor = system[row][column] / lead;
                let pivot = system[column];
                for (cell, part) in system[row].iter_mut().zip(pivot) {
                    *cell -= factor * part;
                }
            }
        }
    }
    Some([0, 1, 2].map(|row| system[row][3] / system[row][row]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn levels(points: &[(f64, f64)]) -> Vec<Level> {
        points.iter().map(|(n, x)| Level { concurrency: *n, throughput: *x }).collect()
    }

    fn of_law(law: &Law, concurrencies: &[f64]) -> Vec<Level> {
        let at = |n: &f64| Level { concurrency: *n, throughput: law.throughput(*n) };
        concurrencies.iter().map(at).collect()
    }

    fn near(a: f64, b: f64, tolerance: f64) -> bool {
        (a - b).abs() <= tolerance * b.abs().max(1e-9)
    }

    #[test]
    fn the_ray_tracer_of_the_textbook_is_fitted() {
        // Gunther, Guerrilla Capacity Planning, chapter 5: a ray tracer on an SGI Origin 2000, in rays
        // per second; also `raytracer` of the R package usl. Both find sigma = 0.05 and hardly any kappa.
        let measured = levels(&[
            (1.0, 20.0),
            (4.0, 78.0),
            (8.0, 130.0),
            (12.0, 170.0),
            (16.0, 190.0),
            (20.0, 200.0),
            (24.0, 210.0),
            (28.0, 230.0),
            (32.0, 260.0),
            (48.0, 280.0),
            (64.0, 310.0),
        ]);
        let law = fit(&measured, 1).unwrap().law;
        assert!(near(law.lambda, 20.0, 0.1), "{law:?}");
        assert!((0.03..0.07).contains(&law.sigma), "{law:?}");
        assert!(law.kappa < 1e-4, "{law:?}");
    }

    #[test]
    fn a_queue_is_a_law_of_pure_contention() {
        // M/M/1 with service time S: R = S (1 + N), so lambda = 1/(2S), sigma = 1/2, ceiling 1/S.
        const SERVICE: f64 = 0.001;
        let queue: Vec<Level> = (1..10)
            .map(|step| {
                let load = f64::from(step) / 10.0;
                Level { concurrency: load / (1.0 - load), throughput: load / SERVICE }
            })
            .collect();
        let law = fit(&queue, 1).unwrap().law;
        assert!(near(law.lambda, 500.0, 1e-6) && near(law.sigma, 0.5, 1e-6), "{law:?}");
        assert!(near(law.ceiling().unwrap(), 1000.0, 1e-6), "{law:?}");
        assert_eq!(law.peak(), None);
    }

    #[test]
    fn too_few_levels_and_far_places_are_refused() {
        let law = Law { lambda: 10.0, sigma: 0.02, kappa: 0.001 };
        let few = of_law(&law, &[1.0, 2.0, 3.0, 4.0, 5.0, 5.0]);
        assert_eq!(fit(&few, 1), Err(ScalabilityError::Levels(5)));
        let fitted = fit(&of_law(&law, &[1.0, 2.0, 3.0, 4.0, 5.0, 8.0]), 1).unwrap();
        assert!(near(fitted.throughput(16.0).unwrap(), law.throughput(16.0), 1e-6));
        assert!(matches!(fitted.throughput(16.1), Err(ScalabilityError::Extrapolation { .. })));
        let zero =
            levels(&[(1.0, 0.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0), (5.0, 1.0), (6.0, 1.0)]);
        assert_eq!(fit(&zero, 1), Err(ScalabilityError::Degenerate));
        let one_place = of_law(&law, &[5.0, 5.01, 5.02, 5.03, 5.04, 5.05]);
        assert_eq!(fit(&one_place, 1), Err(ScalabilityError::Degenerate));
    }

    #[test]
    fn a_peak_below_one_request_is_the_ceiling_all_the_same() {
        let law = Law { lambda: 10.0, sigma: 0.5, kappa: 2.0 };
        let peak = law.peak().unwrap();
        assert!(near(peak, 0.5, 1e-9));
        assert!(law.ceiling().unwrap() > law.throughput(1.0), "{law:?}");
    }

    #[test]
    fn more_than_linear_growth_leaves_no_negative_coefficient() {
        let growth: Vec<Level> = (1..=8)
            .map(f64::from)
            .map(|n| Level { concurrency: n, throughput: n * (1.0 + 0.05 * n) })
            .collect();
        let law = fit(&growth, 1).unwrap().law;
        assert!(law.sigma >= 0.0 && law.kappa >= 0.0 && law.lambda > 0.0, "{law:?}");
    }

    proptest! {
        // Each case resamples a thousand times.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn known_coefficients_are_recovered(
            lambda in 0.1..1e6, sigma in 0.0..0.9, kappa in 0.0..0.05,
        ) {
            let law = Law { lambda, sigma, kappa };
            let measured = of_law(&law, &[0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]);
            let found = fit(&measured, 7).unwrap();
            prop_assert!(near(found.law.lambda, lambda, 1e-4), "{:?}", found);
            prop_assert!((found.law.sigma - sigma).abs() < 1e-4, "{:?}", found);
            prop_assert!((found.law.kappa - kappa).abs() < 1e-4, "{:?}", found);
        }

        #[test]
        fn the_interval_holds_the_fit_and_noise_moves_it_little(seed: u64, sigma in 0.05..0.5) {
            let law = Law { lambda: 100.0, sigma, kappa: 0.0 };
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut measured = of_law(&law, &[0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]);
            for level in &mut measured {
                level.throughput *= 1.0 + 0.02 * (rng.random::<f64>() - 0.5);
            }
            let found = fit(&measured, seed).unwrap();
            let of = [found.law.lambda, found.law.sigma, found.law.kappa];
            for ((low, high), value) in found.intervals.iter().zip(of) {
                prop_assert!(*low <= value && value <= *high);
            }
            prop_assert!(near(found.law.lambda, 100.0, 0.1), "{:?}", found);
        }
    }
}
