//! The percentile curve: latency against percentile, both on logarithmic axes.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::digest::us;
use super::page::{Figure, Key, Table};
use crate::report::chart::scale::{Axis, percentile};
use crate::report::chart::{Band, Chart, Dash, Line, Look};
use crate::stats::intervals::{Counts, Stretches};

/// One curve.
#[derive(Debug)]
pub struct Source<'a> {
    /// Its name in the legend and in the table.
    pub name: String,
    /// How it looks.
    pub look: Look,
    /// Its samples, in nanoseconds.
    pub histogram: &'a Histogram<u64>,
    /// The same over time, for the interval around the curve; empty for no interval.
    pub blocks: &'a [Counts],
}

/// What remains above each percentile, in each decade: 10 % is the p90, 5 % the p95.
///
/// Close enough together that a curve shows its bends, and all of them percentiles to speak of.
const REMAINDERS: [f64; 14] =
    [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.0, 1.75, 1.5, 1.25];

/// A point of a curve.
#[derive(Clone, Copy)]
struct Point {
    us: f64,
    interval_us: Option<(f64, f64)>,
}

/// `1 / (1 - p)` and `p` of every point up to `samples` samples, then all of them.
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

fn points(source: &Source<'_>) -> Vec<(f64, Point)> {
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
    stops.into_iter().map(point).collect()
}

/// The chart of some curves and its table.
pub fn figure(id: &str, title: &str, text: &str, sources: &[Source<'_>]) -> Figure {
    let curves: Vec<Vec<(f64, Point)>> = sources.iter().map(points).collect();
    let all = curves.iter().flatten();
    let values = all.flat_map(|(_, point)| {
        let (low, high) = point.interval_us.unwrap_or((point.us, point.us));
        [point.us, low, high]
    });
    let samples = sources.iter().map(|source| source.histogram.len()).max().unwrap_or(0);
    let chart = Chart {
        id: format!("{id}-chart"),
        title: title.to_owned(),
        description: description(sources),
        x: Axis::nines(samples),
        y: Axis::latencies(values),
        x_label: "percentile",
        y_label: "latency",
        bands: sources
            .iter()
            .zip(&curves)
            .flat_map(|(source, curve)| bands(source, curve))
            .collect(),
        lines: sources.iter().zip(&curves).map(|(source, curve)| line(source, curve)).collect(),
    };
    Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        text: text.to_owned(),
        svg: chart.svg(),
        legend: sources.iter().map(|source| Key::new(&source.name, source.look)).collect(),
        table: table(title, sources, &curves),
    }
}

fn description(sources: &[Source<'_>]) -> String {
    let sentence = |source: &Source<'_>| {
        let at =
            |p| crate::report::chart::scale::latency(us(source.histogram.value_at_quantile(p)));
        format!(
            "{}: median {}, 99th percentile {}, greatest {}.",
            source.name,
            at(0.5),
            at(0.99),
            at(1.0)
        )
    };
    let sentences = sources.iter().filter(|source| !source.histogram.is_empty()).map(sentence);
    sentences.collect::<Vec<_>>().join(" ")
}

/// The intervals around a curve, in one piece for each stretch that has them.
fn bands(source: &Source<'_>, curve: &[(f64, Point)]) -> Vec<Band> {
    let mut pieces: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new()];
    for (nines, point) in curve {
        match (point.interval_us, pieces.last_mut()) {
            (Some((low, high)), Some(piece)) => piece.push((*nines, low, high)),
            _ => pieces.push(Vec::new()),
        }
    }
    let drawn = pieces.into_iter().filter(|piece| piece.len() > 1);
    drawn.map(|points| Band { colour: source.look.colour, points }).collect()
}

fn line(source: &Source<'_>, curve: &[(f64, Point)]) -> Line {
    let whole_decade = |nines: &f64| (nines.log10() - nines.log10().round()).abs() < 1e-9;
    let mut marked: Vec<f64> =
        curve.iter().map(|(nines, _)| *nines).filter(|nines| whole_decade(nines)).collect();
    marked.extend(curve.last().map(|(nines, _)| *nines));
    marked.push(2.0);
    Line {
        name: source.name.clone(),
        look: source.look,
        points: curve.iter().map(|(nines, point)| Some((*nines, point.us))).collect(),
        marked,
    }
}

fn table(title: &str, sources: &[Source<'_>], curves: &[Vec<(f64, Point)>]) -> Table {
    let mut head = vec!["percentile".to_owned()];
    for source in sources {
        head.push(format!("{} (us)", source.name));
        if !source.blocks.is_empty() {
            head.extend(["95 % from".to_owned(), "to".to_owned()]);
        }
    }
    // Keyed by the bits of a positive number, which sort like the number.
    let stops: BTreeMap<u64, f64> =
        curves.iter().flatten().map(|(nines, _)| (nines.to_bits(), *nines)).collect();
    let row = |nines: f64| {
        let cells = sources.iter().zip(curves).flat_map(|(source, curve)| {
            let point = curve.iter().find(|(at, _)| at.to_bits() == nines.to_bits());
            cells(source, point.map(|(_, point)| *point))
        });
        let last = sources
            .iter()
            .zip(curves)
            .find(|(_, curve)| curve.last().is_some_and(|(at, _)| at.to_bits() == nines.to_bits()));
        let name = match last {
            Some((source, _)) => format!("max of {}", source.histogram.len()),
            None => percentile(nines),
        };
        std::iter::once(name).chain(cells).collect()
    };
    let caption = format!("{title}: microseconds at each percentile");
    Table { caption, head, rows: stops.into_values().map(row).collect() }
}

fn cells(source: &Source<'_>, point: Option<Point>) -> Vec<String> {
    let mut cells = vec![point.map_or(String::new(), |point| point.us.to_string())];
    if !source.blocks.is_empty() {
        let interval = point.and_then(|point| point.interval_us);
        cells.push(interval.map_or(String::new(), |(low, _)| low.to_string()));
        cells.push(interval.map_or(String::new(), |(_, high)| high.to_string()));
    }
    cells
}

/// How the curves of a class look: its colour, and a line for each of the latencies.
pub const fn look(class: crate::load::class::Class, dash: Dash) -> Look {
    Look { colour: class.index(), dash }
}
