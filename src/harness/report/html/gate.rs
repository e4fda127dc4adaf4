//! The page of a gate: the change of each metric with its interval, and the curves of both builds.
//!
//! Reads the folder that `mintbench gate --out` writes: `gate.json` (schema `mintbench/gate/1`) and the
//! distributions of both sides.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::curve::{Curve, Point, figure};
use super::page::{Alert, Badge, Figure, Key, Page, Panel, Table};
use super::panels;
use crate::base::files;
use crate::base::files::{RESULT_BYTES_MAX, ReadError};
use crate::harness::class::Class;
use crate::harness::document::gate::{
    BuildName, Gate, Judged, Method, MetricResult, SCHEMA, Verdict,
};
use crate::harness::report::chart::forest::{Estimate, Forest};
use crate::harness::report::chart::scale::{Axis, plain, rounded};
use crate::harness::report::chart::{Dash, Look};

/// Reasons why the result of a gate cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    /// `gate.json` does not match its schema.
    #[error("`{path}` is damaged", path = path.display())]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// Place and kind of the damage.
        source: serde_json::Error,
    },
    /// A distribution does not have the format that a gate writes.
    #[error("`{path}` is damaged in line {line}: it is no line of a percentile distribution", path = path.display())]
    Curve {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file names another schema.
    #[error("`{path}` has the schema `{found}`, where `{SCHEMA}` is read", path = path.display())]
    Schema {
        /// Path of the file.
        path: PathBuf,
        /// Schema that it names.
        found: String,
    },
}

/// Returns the change that lies between the bounds. In older files, `effect` may lie outside.
fn change(judged: &Judged) -> f64 {
    let ranked = judged.bounds_method == Method::SignedRank;
    judged.robust_effect.filter(|_| ranked).unwrap_or(judged.effect)
}

/// Reads the `gate.json` of a folder, if there is one.
pub(super) fn read(folder: &Path) -> Result<Option<Gate>, GateError> {
    let path = folder.join("gate.json");
    let text = match files::read(&path, RESULT_BYTES_MAX) {
        Err(error) if error.is_missing() => return Ok(None),
        read => read?,
    };
    let damaged = |source| GateError::Damaged { path: path.clone(), source };
    let value: Value = serde_json::from_slice(&text).map_err(damaged)?;
    let found = value.get("schema").and_then(Value::as_str).unwrap_or("none");
    if found != SCHEMA {
        return Err(GateError::Schema { found: found.to_owned(), path });
    }
    serde_json::from_value(value).map(Some).map_err(damaged)
}

/// Builds the page of a gate.
pub(super) fn page(gate: &Gate, folder: &Path) -> Result<Page, GateError> {
    let mut figures: Vec<Figure> = changes(gate).into_iter().collect();
    for class in Class::ALL {
        figures.extend(curves(folder, class)?);
    }
    let name = |build: &BuildName| {
        let commit = build.commit.as_ref().map(|commit| format!(", commit {commit}"));
        format!("{}{}", build.name, commit.unwrap_or_default())
    };
    let (base, candidate) = (name(&gate.base), name(&gate.candidate));
    let alert = |title: &str, reasons: Vec<String>| Alert { title: title.to_owned(), reasons };
    let mut alerts = vec![alert("Checks failed", gate.failures.clone())];
    let (verdict, passed) = (gate.verdict.as_str(), gate.verdict == Verdict::Pass);
    if !passed {
        alerts.push(alert(verdict, vec![gate.sentence.clone()]));
    }
    alerts.retain(|alert| !alert.reasons.is_empty());
    Ok(Page {
        title: format!("Gate: {verdict}"),
        lead: vec![
            gate.sentence.clone(),
            format!("base: {base}"),
            format!("candidate: {candidate}"),
            format!("scenario {}, started {}, seed {}", gate.scenario, gate.started_at, gate.seed),
        ],
        badges: vec![Badge { good: passed, text: verdict.to_owned() }],
        alerts,
        summary: vec![summary(gate)],
        figures,
        panels: about(gate),
    })
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| plain(share * 100.0))
}

fn summary(gate: &Gate) -> Table {
    let head = [
        "metric",
        "unit",
        "base",
        "candidate",
        "change (%)",
        "at least (%)",
        "at most (%)",
        "limit (%)",
        "smallest effect (%)",
        "pairs",
        "verdict",
    ];
    let row = |metric: &MetricResult| {
        let mut cells = vec![metric.metric.to_string(), metric.unit.clone()];
        let limit = percent(Some(metric.limit));
        match &metric.judged {
            None => {
                let why = metric.not_judged.clone().unwrap_or_default();
                cells.extend(["-"; 5].map(str::to_owned));
                cells.extend([limit, "-".to_owned(), "-".to_owned(), why]);
            }
            Some(judged) => {
                let [low, high] = judged.bounds;
                cells.extend([judged.base_median, judged.candidate_median].map(rounded));
                cells.extend([Some(change(judged)), low, high].map(percent));
                cells.extend([limit, percent(judged.smallest_effect)]);
                cells.extend([judged.pairs.to_string(), judged.verdict.as_str().to_owned()]);
            }
        }
        cells
    };
    Table {
        caption: "Medians of both builds, and the change from base to candidate: above 0 is worse"
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: gate.metrics.iter().map(row).collect(),
    }
}

/// Draws the change of each judged metric with its bounds and its limit.
fn changes(gate: &Gate) -> Option<Figure> {
    let estimates: Vec<Estimate> = gate.metrics.iter().filter_map(estimate).collect();
    if estimates.is_empty() {
        return None;
    }
    let ends =
        estimates.iter().flat_map(|e| [Some(e.value), e.interval[0], e.interval[1], Some(e.limit)]);
    let x = Axis::changes(ends.flatten());
    let way = |value: f64| if value < 0.0 { "better" } else { "worse" };
    let sentence =
        |e: &Estimate| format!("{}, {} % {}.", e.name, plain(e.value.abs()), way(e.value));
    let title = "Candidate against base".to_owned();
    let table = table(&estimates);
    let limit = Look { colour: 6, dash: Dash::Dots };
    let forest = Forest {
        id: "changes-chart".to_owned(),
        title: title.clone(),
        description: estimates.iter().map(sentence).collect::<Vec<_>>().join(" "),
        x,
        x_label: "change, % (above 0 is worse)".to_owned(),
        estimates,
    };
    Some(Figure {
        id: "changes".to_owned(),
        title,
        text:
            "Each line lies between the two bounds that decide; left of 0 the candidate is better."
                .to_owned(),
        svg: forest.svg(),
        legend: vec![Key::new("limit", limit)],
        table,
    })
}

/// Returns the change of a metric in per cent, if it was judged.
fn estimate(metric: &MetricResult) -> Option<Estimate> {
    let judged = metric.judged.as_ref()?;
    Some(Estimate {
        name: format!("{}: {}", metric.metric, judged.verdict.as_str()),
        value: change(judged) * 100.0,
        interval: judged.bounds.map(|end| end.map(|end| end * 100.0)),
        limit: metric.limit * 100.0,
        colour: match judged.verdict {
            Verdict::Pass => 2,
            Verdict::Fail => 5,
            Verdict::Inconclusive | Verdict::Invalid => 0,
        },
    })
}

fn table(estimates: &[Estimate]) -> Table {
    let row = |estimate: &Estimate| -> Vec<String> {
        let [low, high] = estimate.interval;
        let values = [Some(estimate.value), low, high, Some(estimate.limit)];
        let values = values.map(|value| value.map_or(String::new(), plain));
        std::iter::once(estimate.name.clone()).chain(values).collect()
    };
    Table {
        caption: "Change from base to candidate in per cent: above 0 is worse".to_owned(),
        head: ["metric", "change (%)", "at least", "at most", "limit"].map(str::to_owned).to_vec(),
        rows: estimates.iter().map(row).collect(),
    }
}

fn about(gate: &Gate) -> Vec<Panel> {
    let mut panels = vec![
        panels::panel("policy", &gate.policy),
        panels::panel("load", &gate.load),
        panels::panel("host", &gate.host),
        panels::panel("build", &gate.build),
    ];
    if !gate.notes.is_empty() {
        panels.push(Panel {
            title: "notes".to_owned(),
            sentences: gate.notes.clone(),
            ..Panel::default()
        });
    }
    panels
}

/// Draws the curves of both builds for a class, with all legs of each build together.
fn curves(folder: &Path, class: Class) -> Result<Option<Figure>, GateError> {
    let mut curves = Vec::new();
    for (name, colour, dash) in [("base", 0, Dash::Solid), ("candidate", 1, Dash::Strokes)] {
        let path = folder.join(format!("{name}.response.{class}.hgrm"));
        let text = match files::read_text(&path, RESULT_BYTES_MAX) {
            Err(error) if error.is_missing() => continue,
            read => read?,
        };
        let (samples, points) =
            distribution(&text).map_err(|line| GateError::Curve { path: path.clone(), line })?;
        let name = format!("{name} {class}");
        let look = Look { colour, dash };
        curves.push(Curve { name, look, samples, intervals: false, points });
    }
    let title = format!("Response of {class} by percentile");
    let text = "All legs of each build together.";
    let drawn = !curves.is_empty();
    Ok(drawn.then(|| figure(&format!("curves-{class}"), [&title, text], &curves, Vec::new())))
}

/// Parses a percentile distribution. Returns the number of samples and the points, or the number of the
/// wrong line.
fn distribution(text: &str) -> Result<(u64, Vec<(f64, Point)>), usize> {
    let (mut samples, mut points) = (0, Vec::new());
    for (index, line) in text.lines().enumerate().skip(1) {
        let wrong = index + 1;
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        // The last line holds all samples; its fourth number is missing or `Infinity`.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (us, count, nines) = match fields.as_slice() {
            [us, _, count] | [us, _, count, "Infinity"] => (us, count, None),
            [us, _, count, nines] => (us, count, Some(nines.parse::<f64>().map_err(|_| wrong)?)),
            _ => return Err(wrong),
        };
        let us = us.parse::<f64>().ok().filter(|us| us.is_finite() && *us >= 0.0).ok_or(wrong)?;
        let count = count.parse::<u64>().map_err(|_| wrong)?;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let nines = nines.unwrap_or(count as f64);
        if !nines.is_finite() || nines < 1.0 {
            return Err(wrong);
        }
        samples = samples.max(count);
        points.push((nines, Point { us, interval_us: None }));
    }
    // The last steps may name percentiles beyond the last sample. They all have its value.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let all = samples as f64;
    points.retain(|(nines, _)| *nines <= all);
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points.dedup_by(|a, b| a.0.to_bits() == b.0.to_bits());
    Ok((samples, points))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_distribution_is_read_as_it_was_written() {
        let text = fs::read_to_string("results/reference/steady/response.hit.hgrm").unwrap();
        let (samples, points) = distribution(&text).unwrap();
        let run = crate::harness::report::stored::read_run(Path::new("results/reference/steady"));
        let hit = run.unwrap().unwrap().classes.remove(&Class::Hit).unwrap();
        assert_eq!(samples, hit.count);
        assert_eq!(points.last().map(|(_, point)| point.us), hit.response_us.values().max);
        let median = points.iter().find(|(nines, _)| (*nines - 2.0).abs() < 1e-9).unwrap();
        assert_eq!(Some(median.1.us), hit.response_us.values().p50);
        assert_eq!(distribution("Value\n1 2 x 4\n").unwrap_err(), 2);
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_reader_panic(at in 0_usize..5000, byte: u8) {
            let mut text = fs::read("results/reference/mint/response.miss.hgrm").unwrap();
            if let Some(hit) = text.get_mut(at) {
                *hit = byte;
            }
            if let Ok((samples, points)) = distribution(&String::from_utf8_lossy(&text)) {
                let curve = Curve {
                    name: "x".to_owned(),
                    look: Look { colour: 0, dash: Dash::Solid },
                    samples,
                    intervals: false,
                    points,
                };
                let _ = figure("x", ["x", "x"], &[curve], Vec::new());
            }
        }
    }
}
