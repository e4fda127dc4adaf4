use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::signed_rank::hodges_lehmann;
use super::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

fn normal(rng: &mut StdRng) -> f64 {
    StandardNormal.sample(rng)
}

/// Returns the share of draws in which the bounds of `method` miss a middle of 0, for either side.
fn misses(
    method: Method,
    count: usize,
    rates: Rates,
    draw: impl Fn(&mut StdRng) -> f64,
) -> [f64; 2] {
    const TRIALS: u32 = 3000;
    let mut rng = StdRng::seed_from_u64(5);
    let mut missed = [0_u32; 2];
    for _ in 0..TRIALS {
        let differences: Vec<f64> = (0..count).map(|_| draw(&mut rng)).collect();
        let Bounds { low, high } = method.bounds(&differences, rates);
        missed[0] += u32::from(low > 0.0);
        missed[1] += u32::from(high < 0.0);
        assert_eq!(low > 0.0, method.p_above(&differences, 0.0) <= rates.low);
    }
    missed.map(|missed| f64::from(missed) / f64::from(TRIALS))
}

#[test]
fn student_is_the_t_of_the_tables() {
    // t(0.95, 9) = 1.8331; the differences have mean 1 and deviation sqrt(10/9).
    let differences = [0.0, 2.0].repeat(5);
    let summary = Summary::of(&differences);
    let bounds = summary.bounds(Rates::two_sided(0.9));
    let reach = 1.833_113 * (10.0_f64 / 9.0).sqrt() / 10.0_f64.sqrt();
    assert!((bounds.high - (1.0 + reach)).abs() < 1e-6, "{bounds:?}");
    assert!((bounds.low - (1.0 - reach)).abs() < 1e-6, "{bounds:?}");
    let lone = summary.against_one_draw();
    assert!(close(lone.error, summary.deviation * 1.1_f64.sqrt()));
}

#[test]
fn the_width_at_both_rates_is_the_smallest_detectable_effect() {
    // measurement: s = 3.7 %, 10 pairs, one-sided 5 %, power 80 % give 3.2 %.
    let summary =
        Summary { count: 10, mean: 0.0, deviation: 0.037, error: 0.037 / 10.0_f64.sqrt() };
    let width = summary.bounds(Rates { low: 0.05, high: 0.2 }).width();
    assert!((width.exp_m1() - 0.032).abs() < 0.001, "{width}");
}

#[test]
fn both_methods_miss_as_often_as_they_say() {
    let rates = Rates { low: 0.05, high: 0.02 };
    for (method, count) in [(Method::Student, 5), (Method::Student, 12), (Method::SignedRank, 12)] {
        let [low, high] = misses(method, count, rates, normal);
        assert!((0.03..=0.06).contains(&low), "{method:?} {count}: {low}");
        assert!((0.008..=0.03).contains(&high), "{method:?} {count}: {high}");
    }
}

#[test]
fn wild_pairs_do_not_make_signed_ranks_miss_more() {
    // One pair in six is twenty times as wide.
    let wild = |rng: &mut StdRng| {
        let scale = if rng.random_range(0..6) == 0 { 20.0 } else { 1.0 };
        scale * normal(rng)
    };
    let rates = Rates { low: 0.05, high: 0.05 };
    for missed in misses(Method::SignedRank, 12, rates, wild) {
        assert!((0.03..=0.06).contains(&missed), "{missed}");
    }
}

#[test]
fn one_wild_pair_leaves_signed_ranks_sharp_and_blunts_student() {
    let mut differences: Vec<f64> = (0..16).map(|i| f64::from(i % 4) * 0.01).collect();
    let rates = Rates { low: 0.01, high: 0.01 };
    let width = |method: Method, differences: &[f64]| method.bounds(differences, rates).width();
    let calm = width(Method::SignedRank, &differences);
    differences[3] = 1.0;
    assert!(width(Method::SignedRank, &differences) < 2.0 * calm);
    assert!(width(Method::Student, &differences) > 5.0 * calm);
}

#[test]
fn few_pairs_at_small_rates_leave_no_ranks() {
    let rates = |low| Rates { low, high: 0.05 };
    assert_eq!(Method::for_pairs(8, rates(0.05)), Method::SignedRank);
    assert_eq!(Method::for_pairs(8, rates(0.005)), Method::Student);
    assert_eq!(Method::for_pairs(0, rates(0.05)), Method::Student);
    assert_eq!(Method::for_pairs(5000, rates(0.005)), Method::SignedRank);
}

#[test]
fn fewer_than_two_pairs_say_nothing() {
    for differences in [&[][..], &[0.3]] {
        let bounds = Method::Student.bounds(differences, Rates::two_sided(0.9));
        assert_eq!(bounds, Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY });
        assert!(close(Method::Student.p_above(differences, -9.0), 1.0));
    }
}

proptest! {
    #[test]
    fn the_interval_of_constants_is_a_point(value in -5.0_f64..5.0, count in 2_usize..30) {
        let differences = vec![value; count];
        let rates = Rates { low: 0.3, high: 0.3 };
        for bounds in [
            Method::Student.bounds(&differences, rates),
            Method::SignedRank.bounds(&differences, rates),
        ] {
            prop_assert!(close(bounds.low, value) && close(bounds.high, value), "{bounds:?}");
        }
        prop_assert!(close(hodges_lehmann(&differences).unwrap(), value));
    }

    #[test]
    fn the_robust_middle_moves_and_scales_with_the_differences(
        differences in prop::collection::vec(-5.0_f64..5.0, 1..25),
        shift in -9.0_f64..9.0, scale in -3.0_f64..3.0,
    ) {
        let moved: Vec<f64> = differences.iter().map(|d| d * scale + shift).collect();
        let expected = hodges_lehmann(&differences).unwrap() * scale + shift;
        prop_assert!(close(hodges_lehmann(&moved).unwrap(), expected));
    }

    #[test]
    fn bounds_hold_the_middle_and_widen_with_confidence(
        differences in prop::collection::vec(-5.0_f64..5.0, 9..25),
    ) {
        for method in [Method::Student, Method::SignedRank] {
            let narrow = method.bounds(&differences, Rates::two_sided(0.8));
            let wide = method.bounds(&differences, Rates::two_sided(0.95));
            let middle = method.middle(&differences);
            prop_assert!(narrow.low <= middle && middle <= narrow.high);
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        }
    }
}
