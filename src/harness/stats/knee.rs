//! The knee of a latency curve, by two definitions, because no single definition is standard.

/// Point of the curve. Both values are above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Percentile of the response time, in any unit.
    pub(crate) latency: f64,
}

/// Returns the rate from which 1 % more load costs more than 1 % more latency (d ln latency / d ln rate
/// is above 1). This must hold at all later steps, too. Returns none if the last step is not that steep.
///
/// `points` must ascend by rate. Steps between equal rates are skipped.
pub(crate) fn elastic(points: &[Point]) -> Option<f64> {
    let steps = points.windows(2).filter_map(|pair| match pair {
        [from, to] if to.rate > from.rate => {
            let slope = (to.latency / from.latency).ln() / (to.rate / from.rate).ln();
            Some((from.rate, slope))
        }
        _ => None,
    });
    let steep = steps.map(|(rate, slope)| (slope > 1.0).then_some(rate));
    let steps: Vec<Option<f64>> = steep.collect();
    steps.iter().rev().map_while(|rate| *rate).last()
}

/// Returns the rate whose point lies furthest below the chord from the first point to the last, with
/// both axes scaled to 0..1. This is Kneedle (Satopää, Albrecht, Irwin and Raghavan, 2011) for a convex,
/// rising curve.
///
/// Returns none for fewer than three points, or if the curve does not rise or nowhere lies below its
/// chord.
pub(crate) fn kneedle(points: &[Point]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let (width, height) = (last.rate - first.rate, last.latency - first.latency);
    if points.len() < 3 || width <= 0.0 || height <= 0.0 {
        return None;
    }
    let below = |point: &Point| {
        (point.rate - first.rate) / width - (point.latency - first.latency) / height
    };
    let knee = points.iter().max_by(|a, b| below(a).total_cmp(&below(b)))?;
    (below(knee) > 0.0).then_some(knee.rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the mean response time of M/M/1 with a service time of 1.
    fn queue(count: u32) -> Vec<Point> {
        let rates = (1..count).map(|step| f64::from(step) / f64::from(count));
        rates.map(|rate| Point { rate, latency: 1.0 / (1.0 - rate) }).collect()
    }

    #[test]
    fn the_elastic_knee_of_a_queue_is_at_half_its_capacity() {
        // ln R = -ln(1 - x), so d ln R / d ln x = x / (1 - x), which is 1 at x = 1/2.
        let knee = elastic(&queue(200)).unwrap();
        assert!((knee - 0.5).abs() <= 0.01, "{knee}");
    }

    #[test]
    fn kneedle_finds_the_corner_of_a_hockey_stick() {
        let points: Vec<Point> = (0..=10)
            .map(|step| Point {
                rate: f64::from(step),
                latency: if step <= 7 { 1.0 } else { 1.0 + 5.0 * f64::from(step - 7) },
            })
            .collect();
        assert_eq!(kneedle(&points), Some(7.0));
    }

    #[test]
    fn a_flat_curve_has_no_knee() {
        let flat: Vec<Point> =
            (1..10).map(|step| Point { rate: f64::from(step), latency: 1.0 }).collect();
        assert_eq!((elastic(&flat), kneedle(&flat)), (None, None));
        assert_eq!((elastic(&[]), kneedle(&[])), (None, None));
    }

    #[test]
    fn a_bump_on_the_way_is_no_knee() {
        let curve = [(1.0, 1.0), (1.1, 2.0), (2.0, 1.5), (4.0, 1.6), (5.0, 9.0)];
        let curve = curve.map(|(rate, latency)| Point { rate, latency });
        assert_eq!(elastic(&curve), Some(4.0));
    }

    proptest! {
        #[test]
        fn neither_knee_depends_on_the_units(scale in 0.001..1000.0, count in 10_u32..60) {
            let plain = queue(count);
            let scaled: Vec<Point> = plain.iter()
                .map(|p| Point { rate: p.rate * scale, latency: p.latency / scale }).collect();
            for (knee, other) in [
                (elastic(&plain), elastic(&scaled)), (kneedle(&plain), kneedle(&scaled)),
            ] {
                let (knee, other): (f64, f64) = (knee.unwrap() * scale, other.unwrap());
                // Rounding may decide between two neighbours that are equal.
                let step = scale / f64::from(count);
                prop_assert!((knee - other).abs() <= 1.001 * step);
            }
        }
    }
}
