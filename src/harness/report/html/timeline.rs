//! Charts over time: latencies, throughput, and a heat map of response times.

use super::page::{Figure, Key, Table};
use crate::base::clock::us;
use crate::harness::class::Class;
use crate::harness::document::run::Run;
use crate::harness::document::run::phases::{Phase, RateSteps};
use crate::harness::report::chart::heat::Heat;
use crate::harness::report::chart::scale::{Axis, plain, rounded};
use crate::harness::report::chart::{Chart, Dash, Goal, Line, Look};
use crate::harness::report::stored::digest::{Digest, TimeSeries, quantile, total};
use crate::harness::report::stored::log::add;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::Counts;

/// Marks of a line over time. More would hide the line.
const MARKS: usize = 8;

/// Line over time that is also a column of the table.
struct Trace {
    name: String,
    look: Look,
    values: Vec<Option<f64>>,
}

/// Returns the middles of the first `count` stretches of `series`, in seconds.
fn middles(series: &TimeSeries, count: usize) -> Vec<f64> {
    let spans = (0..count).map(|index| series.span(index));
    spans.map(|(start, length)| start + length / 2.0).collect()
}

/// Draws the p50 and p99 of the three latencies of a class over time, with their objectives.
pub(crate) fn latencies(digest: &Digest, class: Class, goals: Vec<Goal>) -> Figure {
    let of = |series: &TimeSeries, name: &str, colour| {
        let stretches = series.stretches.of(class);
        [(0.99, "p99", Dash::Solid), (0.5, "p50", Dash::Strokes)].map(|(at, percentile, dash)| {
            Trace {
                name: format!("{name} {percentile}"),
                look: Look { colour, dash },
                values: stretches.iter().map(|counts| quantile(counts, at).map(us)).collect(),
            }
        })
    };
    let traces: Vec<Trace> = [
        of(&digest.response, "response", 0),
        of(&digest.service, "service", 1),
        of(&digest.lag, "lag", 2),
    ]
    .into_iter()
    .flatten()
    .collect();
    let title = format!("Latency of {class} over time");
    let text = "Response runs from the intended start, service from the write; lag is how late the generator was. What is below 1 us is drawn at the foot.";
    let values = traces.iter().flat_map(|trace| trace.values.iter().flatten().copied());
    let y = Axis::latencies(values.chain(goals.iter().map(|goal| goal.value)));
    let (id, look) = (format!("course-{class}"), (y, "latency"));
    timeline(&digest.response, &id, [&title, text], look, &traces, goals)
}

/// Draws the intended rate, the ended requests and the failures over time.
pub(crate) fn throughput(digest: &Digest, run: Option<&Run>) -> Figure {
    let series = &digest.response;
    let together = series.together();
    let per_second = |counts: &[Counts]| -> Vec<Option<f64>> {
        let rate = |(index, counts): (usize, &Counts)| float(total(counts)) / series.span(index).1;
        counts.iter().enumerate().map(rate).map(Some).collect()
    };
    let trace = |name: &str, colour, dash, values| Trace {
        name: name.to_owned(),
        look: Look { colour, dash },
        values,
    };
    let mut traces = vec![trace("ended per second", 0, Dash::Solid, per_second(&together))];
    // Earlier versions had failed requests in the class `all`: a line at zero would be false.
    let apart = series.whole.keys().any(|class| class.is_failure());
    if apart || !series.whole.contains_key(&Class::All) {
        let failed = per_second(&failed(series, together.len()));
        traces.push(trace("errors and throttled per second", 5, Dash::Strokes, failed));
    }
    let spans = (0..together.len()).map(|index| series.span(index));
    let intended: Vec<Option<f64>> = spans.map(|span| intended(run?, span)).collect();
    if intended.iter().any(Option::is_some) {
        traces.insert(0, trace("intended per second", 6, Dash::Dots, intended));
    }
    let y = Axis::counts(traces.iter().flat_map(|trace| trace.values.iter().flatten().copied()));
    let text = "Requests by the second in which they ended; the last second also holds what ended after it.";
    let names = ["Throughput over time", text];
    timeline(series, "throughput", names, (y, "requests/s"), &traces, Vec::new())
}

/// Returns the answers without a token over time.
fn failed(series: &TimeSeries, count: usize) -> Vec<Counts> {
    let mut failed = vec![Counts::new(); count];
    for class in [Class::Error, Class::Throttled] {
        for (into, from) in failed.iter_mut().zip(series.stretches.of(class)) {
            add(into, from);
        }
    }
    failed
}

/// Returns the intended rate of a stretch, in requests per second, by phase if there are any.
fn intended(run: &Run, (start_s, length_s): (f64, f64)) -> Option<f64> {
    if run.phases.is_empty() {
        return run.load.rate_target;
    }
    let planned = run.phases.iter().map(|phase| planned(phase, start_s, start_s + length_s));
    Some(planned.sum::<f64>() / length_s)
}

/// Returns the requests that a phase planned between two times, in seconds of the measured part.
fn planned(phase: &Phase, from_s: f64, to_s: f64) -> f64 {
    let end_s = phase.start_s + phase.duration_s;
    let overlap_s = |from: f64, to: f64| (to.min(to_s).min(end_s) - from.max(from_s)).max(0.0);
    let Some(RateSteps { step_s, rates }) = &phase.rate_course else {
        return phase.rate_target * overlap_s(phase.start_s, end_s);
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
    let step_s = *step_s as f64;
    let mut at_s = phase.start_s;
    let own = rates.iter().map(|rate| {
        let from_s = at_s;
        at_s += step_s;
        rate * overlap_s(from_s, at_s)
    });
    own.sum()
}

fn timeline(
    series: &TimeSeries,
    id: &str,
    [title, text]: [&str; 2],
    (y, y_label): (Axis, &'static str),
    traces: &[Trace],
    goals: Vec<Goal>,
) -> Figure {
    let count = traces.iter().map(|trace| trace.values.len()).max().unwrap_or(0);
    let middles = middles(series, count);
    let every = count.div_ceil(MARKS).max(1);
    let marked: Vec<f64> = middles.iter().copied().step_by(every).collect();
    let line = |trace: &Trace| Line {
        name: trace.name.clone(),
        look: trace.look,
        points: middles
            .iter()
            .zip(&trace.values)
            .map(|(middle, value)| value.map(|value| (*middle, value)))
            .collect(),
        marked: marked.clone(),
    };
    let chart = Chart {
        id: format!("{id}-chart"),
        title: title.to_owned(),
        description: describe(traces),
        x: Axis::seconds(series.end_s),
        y,
        x_label: "time since the beginning",
        y_label,
        bands: Vec::new(),
        lines: traces.iter().map(line).collect(),
        goals,
    };
    Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        text: text.to_owned(),
        svg: chart.svg(),
        legend: traces.iter().map(|trace| Key::new(&trace.name, trace.look)).collect(),
        table: table(title, series, traces, y_label),
    }
}

fn describe(traces: &[Trace]) -> String {
    let sentence = |trace: &Trace| {
        let values = || trace.values.iter().flatten().copied();
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        (low <= high).then(|| format!("{}: from {} to {}.", trace.name, plain(low), plain(high)))
    };
    traces.iter().filter_map(sentence).collect::<Vec<_>>().join(" ")
}

fn table(title: &str, series: &TimeSeries, traces: &[Trace], unit: &str) -> Table {
    let unit = if unit == "latency" { "microseconds" } else { unit };
    let mut head = vec!["from (s)".to_owned()];
    head.extend(traces.iter().map(|trace| trace.name.clone()));
    let count = traces.iter().map(|trace| trace.values.len()).max().unwrap_or(0);
    let row = |index| {
        let value = |trace: &Trace| trace.values.get(index).copied().flatten();
        let cells = traces.iter().map(|trace| value(trace).map_or(String::new(), rounded));
        std::iter::once(rounded(series.span(index).0)).chain(cells).collect()
    };
    let stretch = series.stretches.seconds();
    let caption = format!("{title}: {unit}, in stretches of {stretch} s");
    Table { caption, head, rows: (0..count).map(row).collect() }
}

/// Maximum number of columns of the heat map. More would be finer than a phone shows.
const COLUMNS_MAX: usize = 60;
const ROWS_PER_DECADE: i32 = 6;

/// Draws the heat map: the number of requests by time and response time.
pub(crate) fn heat(digest: &Digest) -> Figure {
    let series = &digest.response;
    let together = series.together();
    let grouped = together.len().div_ceil(COLUMNS_MAX).max(1);
    let (columns, stretches) = columns(series, &together, grouped);
    let values = together.iter().flatten().map(|(ns, _)| us(*ns));
    let y = Axis::latencies(values);
    let rows = rows(&y);
    let count = |stretch: &Counts| -> Vec<u64> { by_row(stretch, &rows) };
    let counts: Vec<Vec<u64>> = stretches.iter().map(count).collect();
    let mut heat = Heat {
        id: "heat-chart".to_owned(),
        title: "Response times over time".to_owned(),
        description: String::new(),
        x: Axis::seconds(series.end_s),
        y,
        columns,
        rows,
        counts,
    };
    heat.description = format!("The fullest cell holds {} requests.", heat.most());
    let text = format!(
        "Each cell counts the requests that ended in that time with that response time; the strongest colour stands for {}, and others for less by the logarithm.",
        heat.most()
    );
    Figure {
        id: "heat".to_owned(),
        title: heat.title.clone(),
        text,
        svg: heat.svg(),
        legend: Vec::new(),
        table: cells(&heat),
    }
}

fn columns(series: &TimeSeries, together: &[Counts], grouped: usize) -> (Vec<f64>, Vec<Counts>) {
    let (mut edges, mut stretches) = (vec![0.0], Vec::new());
    for (index, group) in together.chunks(grouped).enumerate() {
        let mut merged = Counts::new();
        for counts in group {
            add(&mut merged, counts);
        }
        stretches.push(merged);
        let (start, length) = series.span(index * grouped + group.len() - 1);
        edges.push(start + length);
    }
    (edges, stretches)
}

/// Returns the edges of the rows, in equal steps from one end of the axis to the other.
fn rows(y: &Axis) -> Vec<f64> {
    let decades = (y.to / y.from).log10();
    #[expect(clippy::cast_possible_truncation, reason = "an axis has a dozen decades")]
    let count = ((decades * f64::from(ROWS_PER_DECADE)).round() as i32).max(1);
    let edge = |index: i32| y.from * 10_f64.powf(decades * f64::from(index) / f64::from(count));
    (0..=count).map(edge).collect()
}

/// Counts values between the edges. A value on an edge belongs to the row above it, except at the last
/// edge.
fn by_row(counts: &[(u64, u64)], edges: &[f64]) -> Vec<u64> {
    let last = edges.len().saturating_sub(2);
    let mut rows = vec![0; last + 1];
    for (ns, times) in counts {
        let above = edges.iter().filter(|edge| **edge <= us(*ns)).count();
        let row = above.saturating_sub(1).min(last);
        if let Some(row) = rows.get_mut(row) {
            *row += times;
        }
    }
    rows
}

fn cells(heat: &Heat) -> Table {
    let mut names = vec!["from (s)".to_owned()];
    names.extend(
        heat.rows
            .iter()
            .zip(heat.rows.iter().skip(1))
            .map(|(low, _)| format!("{} us", plain(*low))),
    );
    let row = |(start, counts): (&f64, &Vec<u64>)| {
        let cells =
            counts.iter().map(|count| if *count == 0 { String::new() } else { count.to_string() });
        std::iter::once(rounded(*start)).chain(cells).collect()
    };
    let rows = heat.columns.iter().zip(&heat.counts).map(row).collect();
    Table {
        caption: "Requests by time and by response time, from this many microseconds".to_owned(),
        head: names,
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::stored::read_run;

    #[test]
    fn a_ramp_is_drawn_as_it_rises() {
        let folder = std::path::Path::new("results/reference/steady");
        let mut run = read_run(folder).unwrap().unwrap();
        let boot = serde_json::json!([{
            "name": "boot", "start_s": 0.0, "duration_s": 4.0, "arrivals": "poisson",
            "rate_target": 1500.0, "classes": {},
            "rate_course": { "step_s": 1, "rates": [750.0, 1250.0, 1750.0, 2250.0] },
        }]);
        run.phases = serde_json::from_value(boot).unwrap();
        let spans = [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (0.0, 4.0)];
        let drawn = spans.map(|span| intended(&run, span).map(plain));
        assert_eq!(drawn.map(Option::unwrap), ["750", "1250", "1750", "2250", "1500"]);
    }

    #[test]
    fn planned_requests_of_a_phase_follow_its_steps_or_else_its_mean() {
        let flat: Phase = serde_json::from_value(serde_json::json!({
            "name": "boot", "start_s": 1.0, "duration_s": 2.5, "arrivals": "constant",
            "rate_target": 100.0, "classes": {},
        }))
        .unwrap();
        let series = RateSteps { step_s: 1, rates: vec![10.0, 20.0, 30.0] };
        let ramp = Phase { rate_course: Some(series), ..flat.clone() };
        assert!((planned(&ramp, 1.0, 2.0) - 10.0).abs() < 1e-9);
        assert!((planned(&ramp, 1.5, 2.5) - 15.0).abs() < 1e-9);
        // Half of the last step is within the phase, and nothing is before it.
        assert!((planned(&ramp, 0.0, 9.0) - 45.0).abs() < 1e-9);
        assert!((planned(&flat, 0.0, 9.0) - 250.0).abs() < 1e-9);
    }
}
