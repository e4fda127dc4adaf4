//! Several hypotheses at once: Holm's step-down procedure.
//!
//! Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
//! of Statistics 6 (1979). The chance of one false rejection or more among all hypotheses is at most
//! the level, whatever their dependence.

/// Which of the hypotheses are rejected at `level`, in the order of their `p_values`.
pub fn rejected(p_values: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut verdicts = vec![false; p_values.len()];
    let mut left = p_values.len();
    for (index, p) in order {
        // The first that stands lets all with larger values stand; a NaN is never rejected.
        if p.is_nan() || p > share(level, left) {
            break;
        }
        if let Some(verdict) = verdicts.get_mut(index) {
            *verdict = true;
        }
        left -= 1;
    }
    verdicts
}

/// The level that the first of `hypotheses` is tested at: Bonferroni's.
pub fn first_level(level: f64, hypotheses: usize) -> f64 {
    share(level, hypotheses)
}

#[expect(clippy::cast_precision_loss, reason = "a handful of hypotheses")]
fn share(level: f64, parts: usize) -> f64 {
    level / parts.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_procedure_holds() {
        // 0.01 <= 0.05/4, 0.015 <= 0.05/3, 0.03 > 0.05/2: two are rejected.
        assert_eq!(rejected(&[0.01, 0.04, 0.03, 0.015], 0.05), [true, false, false, true]);
        assert_eq!(rejected(&[], 0.05), [false; 0]);
        assert_eq!(rejected(&[f64::NAN], 0.05), [false]);
    }

    proptest! {
        #[test]
        fn it_rejects_no_more_than_unadjusted_tests_and_no_less_than_bonferroni(
            p in prop::collection::vec(0.0_f64..1.0, 1..12), level in 0.001_f64..0.2,
        ) {
            for (rejected, p_value) in rejected(&p, level).into_iter().zip(&p) {
                prop_assert!(!rejected || *p_value <= level);
                prop_assert!(rejected || *p_value > first_level(level, p.len()));
            }
        }

        #[test]
        fn the_order_of_the_hypotheses_does_not_matter(
            p in prop::collection::vec(0.0_f64..0.1, 1..9), level in 0.001_f64..0.2,
        ) {
            let backward: Vec<f64> = p.iter().rev().copied().collect();
            let mut verdicts = rejected(&backward, level);
            verdicts.reverse();
            // Equal values may swap verdicts only where both stand or both fall.
            for ((ours, theirs), value) in rejected(&p, level).into_iter().zip(verdicts).zip(&p) {
                let unique = p.iter().filter(|other| other.total_cmp(value).is_eq()).count() == 1;
                prop_assert!(ours == theirs || !unique);
            }
        }
    }
}
