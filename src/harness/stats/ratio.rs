//! The confidence interval of a ratio of two quantities that were measured separately.
//!
//! Uses MOVER ("method of variance estimates recovery"), which derives the limits of a difference from
//! those of its terms. Here the terms are logarithms. Source: Zou and Donner, "Construction of
//! confidence limits about effect measures: a general approach", Statistics in Medicine 27(10), 2008,
//! pages 1693-1702.

/// Quantity with its interval, all in one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Best estimate.
    pub(crate) value: f64,
    /// Upper end of the interval.
    pub(crate) high: f64,
}

/// Returns the interval of `b / a`, at the confidence of the two intervals.
///
/// The two must be independent. A common cause, such as a slow machine, cancels in the ratio but does
/// not narrow this interval. Returns none unless all values are positive, finite and in order.
pub(crate) fn ratio_interval(a: Estimate, b: Estimate) -> Option<(f64, f64)> {
    let is_ordered = |e: &Estimate| 0.0 < e.low && e.low <= e.value && e.value <= e.high;
    if ![a, b].iter().all(|e| is_ordered(e) && e.high.is_finite()) {
        return None;
    }
    let [a, b] = [a, b].map(|e| [e.low.ln(), e.value.ln(), e.high.ln()]);
    let ([a_low, a, a_high], [b_least, b, b_high]) = (a, b);
    let below = (b - b_least).hypot(a_high - a);
    let above = (b_high - b).hypot(a - a_low);
    Some(((b - a - below).exp(), (b - a + above).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution, Normal};

    fn estimate() -> impl Strategy<Value = Estimate> {
        (0.01_f64..1e6, 1.0_f64..4.0, 1.0_f64..4.0).prop_map(|(value, below, above)| Estimate {
            low: value / below,
            value,
            high: value * above,
        })
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_ratio_and_turns_over_with_it(a in estimate(), b in estimate()) {
            let (low, high) = ratio_interval(a, b).unwrap();
            let ratio = b.value / a.value;
            prop_assert!(low <= ratio * 1.000_001 && ratio <= high * 1.000_001);
            let (over_low, over_high) = ratio_interval(b, a).unwrap();
            prop_assert!((over_low * high - 1.0).abs() < 1e-9 && (over_high * low - 1.0).abs() < 1e-9);
        }

        #[test]
        fn against_a_known_quantity_it_is_the_others_interval(b in estimate(), a in 0.1_f64..1e3) {
            let (low, high) = ratio_interval(Estimate { low: a, value: a, high: a }, b).unwrap();
            prop_assert!((low - b.low / a).abs() <= 1e-9 * low && (high - b.high / a).abs() <= 1e-9 * high);
        }
    }

    #[test]
    fn independent_quantities_are_covered_at_their_confidence() {
        const TRIALS: u32 = 4000;
        let mut rng = StdRng::seed_from_u64(3);
        let mut draw = |truth: f64, spread: f64| {
            let seen = Normal::new(truth, spread).unwrap().sample(&mut rng);
            let half = 1.96 * spread;
            Estimate { low: (seen - half).exp(), value: seen.exp(), high: (seen + half).exp() }
        };
        let truth = (0.3_f64 - 0.1).exp();
        let covered = (0..TRIALS).filter(|_| {
            let (a, b) = (draw(0.1, 0.05), draw(0.3, 0.12));
            ratio_interval(a, b).is_some_and(|(low, high)| (low..=high).contains(&truth))
        });
        let share = f64::from(u32::try_from(covered.count()).unwrap()) / f64::from(TRIALS);
        assert!((0.94..=0.96).contains(&share), "covered {share}");
    }

    #[test]
    fn nothing_is_said_of_what_is_not_positive() {
        let sound = Estimate { low: 1.0, value: 2.0, high: 3.0 };
        assert_eq!(ratio_interval(Estimate { low: 0.0, ..sound }, sound), None);
        assert_eq!(ratio_interval(sound, Estimate { high: 1.0, ..sound }), None);
    }
}
