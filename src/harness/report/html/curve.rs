//! The percentile curve: latency against percentile, both on logarithmic axes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::page::{Figure, Key, Table};
use crate::base::clock::us;
use crate::harness::report::chart::scale::{Axis, latency, percentile, rounded};
use crate::harness::report::chart::{Band, Chart, Dash, Goal, Line, Look};
use crate::harness::stats::intervals::{Counts, Stretches};

/// Input of one curve.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// Name in the legend and in the table.
    pub(crate) name: String,
    /// Look of the curve.
    pub(crate) look: Look,
    /// Samples in nanoseconds.
    pub(crate) histogram: &'a Histogram<u64>,
    /// The same samples over time, for the interval around the curve; empty for no interval.
    pub(crate) blocks: &'a [Counts],
}

/// Percentile curve.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// Name in the legend and in the table.
    pub(crate) name: String,
    /// Look of the curve.
    pub(crate) look: Look,
    /// Number of samples.
    pub(crate) samples: u64,
    /// True if the curve has intervals.
    pub(crate) intervals: bool,
    /// Points with their `1 / (1 - p)`, ascending.
    pub(crate) points: Vec<(f64, Point)>,
}

/// Point of a curve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Latency in microseconds.
    pub(crate) us: f64,
    /// 95 % interval in microseconds.
    pub(crate) interval_us: Option<(f64, f64)>,
}

/// Per cents above each percentile, repeated in each decade: 10 % is the p90, 5 % the p95.
///
/// They are close enough to show the bends of a curve, and all are common percentiles.
const REMAINDERS: [f64; 14] =
    [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0, 1.75, 1.5, 1.25];

/// Returns `1 / (1 - p)` and `p` of every point below `samples`, and of the maximum.
fn stops(samples: u64) -> Vec<(f64, f64)> {
    let decades = (1..20).flat_map(|decade| {
        REMAINDERS.iter().map(move |remainder| remainder * 10_f64.powi(-decade))
    });
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let all = samples as f64;
    let mut stops: Vec<(f64, f64)> = decades
        .map(|rest| (1.0 / rest, 1.0 - rest))
        .take_while(|(nines, _)| *nines < all)
        .collect();
    stops.push((all, 1.0));
    stops
}

impl Curve {
    /// Computes the curve of a histogram.
    pub(crate) fn of(source: &Source<'_>) -> Self {
        let samples = source.histogram.len();
        let stops = if samples == 0 { Vec::new() } else { stops(samples) };
        let stretches = Stretches::new(source.blocks);
        let point = |(nines, p): (f64, f64)| {
            let interval = (p < 1.0 && !source.blocks.is_empty())
                .then(|| stretches.quantile_interval(p).ok())
                .flatten();
            let interval_us = interval.map(|(low, high)| (us(low), us(high)));
            (nines, Point { us: us(source.histogram.value_at_quantile(p)), interval_us })
        };
        Self {
            name: source.name.clone(),
            look: source.look,
            samples,
            intervals: !source.blocks.is_empty(),
            points: stops.into_iter().map(point).collect(),
        }
    }

    /// Returns the intervals, as one band for each unbroken range of points that have them.
    fn bands(&self) -> Vec<Band> {
        let mut pieces: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new()];
        for (nines, point) in &self.points {
            match (point.interval_us, pieces.last_mut()) {
                (Some((low, high)), Some(piece)) => piece.push((*nines, low, high)),
                _ => pieces.push(Vec::new()),
            }
        }
        let drawn = pieces.into_iter().filter(|piece| piece.len() > 1);
        drawn.map(|points| Band { colour: self.look.colour, points }).collect()
    }

    fn line(&self) -> Line {
        let whole_decade = |nines: &f64| (nines.log10() - nines.log10().round()).abs() < 1e-9;
        let stops = self.points.iter().map(|(nines, _)| *nines);
        let mut marked: Vec<f64> = stops.filter(whole_decade).collect();
        marked.extend(self.points.last().map(|(nines, _)| *nines));
        marked.push(2.0);
        Line {
            name: self.name.clone(),
            look: self.look,
            points: self.points.iter().map(|(nines, point)| Some((*nines, point.us))).collect(),
            marked,
        }
    }

    /// Returns the least latency that a share of the samples does not exceed, to the precision of the
    /// points.
    fn at(&self, nines: f64) -> Option<f64> {
        let (_, point) = self.points.iter().find(|(at, _)| *at >= nines * (1.0 - 1e-9))?;
        Some(point.us)
    }

    fn sentence(&self) -> Option<String> {
        let (_, last) = self.points.last()?;
        let [median, tail] = [2.0, 100.0].map(|nines| latency(self.at(nines).unwrap_or(last.us)));
        let most = latency(last.us);
        Some(format!("{}: median {median}, 99th percentile {tail}, greatest {most}.", self.name))
    }

    fn cells(&self, nines: f64) -> Vec<String> {
        let point = self.points.iter().find(|(at, _)| at.to_bits() == nines.to_bits());
        let text = |value: Option<f64>| value.map_or(String::new(), rounded);
        let mut cells = vec![text(point.map(|(_, point)| point.us))];
        if self.intervals {
            let interval = point.and_then(|(_, point)| point.interval_us);
            cells.extend([interval.map(|(low, _)| low), interval.map(|(_, high)| high)].map(text));
        }
        cells
    }
}

/// Draws curves with their objectives, and makes their table.
pub(crate) fn figure(
    id: &str,
    [title, text]: [&str; 2],
    curves: &[Curve],
    goals: Vec<Goal>,
) -> Figure {
    let all = curves.iter().flat_map(|curve| &curve.points);
    let values = all.flat_map(|(_, point)| {
        let (low, high) = point.interval_us.unwrap_or((point.us, point.us));
        [point.us, low, high]
    });
    let samples = curves.iter().map(|curve| curve.samples).max().unwrap_or(0);
    let sentences: Vec<String> = curves.iter().filter_map(Curve::sentence).collect();
    let chart = Chart {
        id: format!("{id}-chart"),
        title: title.to_owned(),
        description: sentences.join(" "),
        x: Axis::nines(samples),
        y: Axis::latencies(values.chain(goals.iter().map(|goal| goal.value))),
        x_label: "percentile",
        y_label: "latency",
        bands: curves.iter().flat_map(Curve::bands).collect(),
        lines: curves.iter().map(Curve::line).collect(),
        goals,
    };
    Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        text: text.to_owned(),
        svg: chart.svg(),
        legend: curves.iter().map(|curve| Key::new(&curve.name, curve.look)).collect(),
        table: table(title, curves),
    }
}

fn table(title: &str, curves: &[Curve]) -> Table {
    let mut head = vec!["percentile".to_owned()];
    for curve in curves {
        head.push(format!("{} (us)", curve.name));
        if curve.intervals {
            head.extend(["95 % from".to_owned(), "to".to_owned()]);
        }
    }
    // The key is the bits of a positive number, which sort like the number.
    let all = curves.iter().flat_map(|curve| &curve.points);
    let stops: BTreeMap<u64, f64> = all.map(|(nines, _)| (nines.to_bits(), *nines)).collect();
    let row = |nines: f64| {
        let ends = |curve: &&Curve| {
            curve.points.last().is_some_and(|(at, _)| at.to_bits() == nines.to_bits())
        };
        let last = curves.iter().find(ends);
        let name =
            last.map_or_else(|| percentile(nines), |curve| format!("max of {}", curve.samples));
        std::iter::once(name).chain(curves.iter().flat_map(|curve| curve.cells(nines))).collect()
    };
    let caption = format!("{title}: microseconds at each percentile");
    Table { caption, head, rows: stops.into_values().map(row).collect() }
}

/// Returns the look of a class: its colour, and a dash pattern for each latency.
pub(crate) const fn look(class: crate::harness::class::Class, dash: Dash) -> Look {
    Look { colour: class.index(), dash }
}
