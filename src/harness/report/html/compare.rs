//! The page of a comparison: the curves of both results, and their ratio with its interval.

use hdrhistogram::Histogram;

use super::curve::{Curve, Source, figure};
use super::page::{Alert, Badge, Figure, Key, Page, Panel, Table};
use super::panels;
use crate::harness::class::Class;
use crate::harness::document::compare::{Comparison, Ratio, Summary};
use crate::harness::report::chart::scale;
use crate::harness::report::chart::scale::{Axis, percentile, plain};
use crate::harness::report::chart::{Band, Chart, Dash, Line, Look};
use crate::harness::report::compare::{APART, Side, quantile_ratio};
use crate::harness::report::stored::digest::Latency;

/// Builds the page of two results.
pub(crate) fn page(a: &Side, b: &Side, comparison: &Comparison) -> Page {
    let classes = || comparison.classes.keys().copied();
    let mut figures: Vec<Figure> = classes().map(|class| curves(a, b, class)).collect();
    figures.extend(classes().filter_map(|class| ratios(a, b, class)));
    let side = |name: &str, side: &Summary| Badge {
        good: side.valid == Some(true),
        text: format!("{name} {}", side.verdict()),
    };
    let alert = Alert { title: "Read with care".to_owned(), reasons: comparison.warnings.clone() };
    Page {
        title: format!("{} against {}", b.folder, a.folder),
        lead: vec![format!("A: {}", a.folder), format!("B: {}", b.folder), APART.to_owned()],
        badges: vec![side("A", &comparison.a), side("B", &comparison.b)],
        alerts: Some(alert).filter(|alert| !alert.reasons.is_empty()).into_iter().collect(),
        summary: vec![summary(comparison)],
        figures,
        panels: [("A", a), ("B", b)]
            .into_iter()
            .flat_map(|(name, side)| about(name, side))
            .collect(),
    }
}

fn about(name: &str, side: &Side) -> Vec<Panel> {
    let Some(run) = &side.run else { return Vec::new() };
    vec![
        panels::panel(&format!("Load of {name}"), &run.load),
        panels::panel(&format!("Host of {name}"), &run.host),
        panels::panel(&format!("Build of {name}"), &run.build),
    ]
}

fn known(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), scale::rounded)
}

/// Formats a ratio to the ten-thousandth.
fn rounded(value: f64) -> String {
    format!("{value:.4}")
}

fn summary(comparison: &Comparison) -> Table {
    let head = ["class", "", "A", "B", "B/A", "95 % from", "to"];
    let mut rows = Vec::new();
    let mut row = |class: &str, name: String, ratio: &Ratio| {
        let ends = ratio.interval.map_or([None; 2], |ends| ends.map(Some));
        let cells = [ratio.ratio, ends[0], ends[1]].map(|r| r.map_or("-".to_owned(), rounded));
        let mut all = vec![class.to_owned(), name, known(ratio.a), known(ratio.b)];
        all.extend(cells);
        rows.push(all);
    };
    for (class, of) in &comparison.classes {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let [a, b] = of.count.map(|count| Some(count as f64));
        row(class.as_str(), "count".to_owned(), &Ratio { a, b, ..Ratio::default() });
        for (latency, ratios) in [("response", &of.response_us), ("service", &of.service_us)] {
            for (percentile, ratio) in ratios {
                row(class.as_str(), format!("{latency} {percentile} (us)"), ratio);
            }
        }
    }
    row("broker", "CPU per request (us)".to_owned(), &comparison.cpu_us_per_request);
    let caption = "Both sides, and B divided by A with its 95 % interval".to_owned();
    Table { caption, head: head.map(str::to_owned).to_vec(), rows }
}

fn curves(a: &Side, b: &Side, class: Class) -> Figure {
    let sides = [("A", a, 0, Dash::Solid), ("B", b, 1, Dash::Strokes)];
    let curves: Vec<Curve> = sides
        .into_iter()
        .filter_map(|(name, side, colour, dash)| {
            Some(Curve::of(&Source {
                name: format!("{name} {class} response"),
                look: Look { colour, dash },
                histogram: side.digest.response.whole.get(&class)?,
                blocks: side.digest.response.blocks.of(class),
            }))
        })
        .collect();
    let title = format!("Response of {class} by percentile");
    let text = "The share of requests that were at least this fast, with 95 % intervals.";
    figure(&format!("curves-{class}"), [&title, text], &curves, Vec::new())
}

/// Percentiles at which ratios are drawn, as `1 / (1 - p)` and `p`.
const DRAWN: [(f64, f64); 9] = [
    (2.0, 0.5),
    (4.0, 0.75),
    (10.0, 0.9),
    (20.0, 0.95),
    (40.0, 0.975),
    (100.0, 0.99),
    (200.0, 0.995),
    (1000.0, 0.999),
    (10_000.0, 0.9999),
];

fn ratios(a: &Side, b: &Side, class: Class) -> Option<Figure> {
    let count = |side: &Side| side.digest.response.whole.get(&class).map_or(0, Histogram::len);
    let samples = count(a).min(count(b));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let drawn = DRAWN.into_iter().filter(|(nines, _)| *nines < samples as f64);
    let points: Vec<(f64, Ratio)> = drawn
        .map(|(nines, p)| (nines, quantile_ratio([a, b], class, Latency::Response, p)))
        .collect();
    let known: Vec<(f64, f64)> =
        points.iter().filter_map(|(nines, ratio)| Some((*nines, ratio.ratio?))).collect();
    if known.is_empty() {
        return None;
    }
    let with_interval = points.iter().filter_map(|(nines, ratio)| {
        let [low, high] = ratio.interval?;
        Some((*nines, low, high))
    });
    let band = Band { colour: 0, points: with_interval.collect() };
    Some(draw(class, samples, &points, (known, band)))
}

fn draw(
    class: Class,
    samples: u64,
    points: &[(f64, Ratio)],
    (known, band): (Vec<(f64, f64)>, Band),
) -> Figure {
    let title = format!("B divided by A: response of {class}");
    let values = known.iter().map(|(_, ratio)| *ratio);
    let ends = band.points.iter().flat_map(|(_, low, high)| [*low, *high]);
    let y = Axis::ratios(values.chain(ends));
    let (look, even) =
        (Look { colour: 0, dash: Dash::Solid }, Look { colour: 6, dash: Dash::Dots });
    let sentence =
        |(nines, ratio): &(f64, f64)| format!("p{}: {}.", percentile(*nines), plain(*ratio));
    let sentences: Vec<String> = known.iter().map(sentence).collect();
    let x = Axis::nines(samples);
    let one = Line {
        name: "as fast as A".to_owned(),
        look: even,
        points: vec![Some((x.from, 1.0)), Some((x.to, 1.0))],
        marked: Vec::new(),
    };
    let line = Line {
        name: "B/A".to_owned(),
        look,
        marked: known.iter().map(|(nines, _)| *nines).collect(),
        points: known.into_iter().map(Some).collect(),
    };
    let legend = [&line, &one].map(|line| Key::new(&line.name, line.look)).to_vec();
    let chart = Chart {
        id: format!("ratio-{class}-chart"),
        title: title.clone(),
        description: sentences.join(" "),
        x,
        y,
        x_label: "percentile",
        y_label: "B/A",
        bands: vec![band],
        lines: vec![one, line],
        goals: Vec::new(),
    };
    Figure {
        id: format!("ratio-{class}"),
        text: "Below 1 B is faster. The shaded band is the 95 % interval of two runs that are independent of each other.".to_owned(),
        svg: chart.svg(),
        legend,
        table: table(&title, points),
        title,
    }
}

fn table(title: &str, points: &[(f64, Ratio)]) -> Table {
    let row = |(nines, ratio): &(f64, Ratio)| {
        let ends = ratio.interval.map_or([None; 2], |ends| ends.map(Some));
        let ratios = [ratio.ratio, ends[0], ends[1]].map(|r| r.map_or(String::new(), rounded));
        let mut cells = vec![percentile(*nines)];
        cells.extend(ratios);
        cells
    };
    Table {
        caption: format!("{title}, by percentile"),
        head: ["percentile", "B/A", "95 % from", "to"].map(str::to_owned).to_vec(),
        rows: points.iter().map(row).collect(),
    }
}
