//! The terminal output of a merge.

use crate::base::clock::readable_us;
use crate::harness::document::percentiles::Percentiles;
use crate::harness::document::run::{Run, Slo};
use crate::harness::report::grid::grid;

/// Returns the merged percentiles, those of each part, the remarks and the validity.
pub fn render(run: &Run) -> String {
    let mut lines = vec![whole(run), parts(run)];
    lines.extend(intervals(run));
    let merged = run.merged.iter().flat_map(|merged| &merged.remarks);
    lines.extend(merged.map(|remark| format!("remark    {remark}")));
    if run.merged.as_ref().is_some_and(|merged| merged.partial) {
        lines.push("PARTIAL   some of the result is missing, see above".to_owned());
    }
    lines.extend(run.slo.iter().map(objective));
    lines.extend(run.checks.failures.iter().map(|failure| format!("FAILED    {failure}")));
    lines.extend(run.validity.reasons.iter().map(|reason| format!("INVALID   {reason}")));
    if run.validity.valid {
        lines.push("valid     in every part the generator and the host kept up".to_owned());
    }
    lines.join("\n") + "\n"
}

fn objective(slo: &Slo) -> String {
    let phase = slo.phase.as_ref();
    let phase = phase.map_or_else(String::new, |phase| format!("{phase} "));
    let verdict = match slo.met {
        Some(true) => "met",
        Some(false) => "BREACHED",
        None => "cannot tell",
    };
    let measured = slo.measured_us.map(readable_us);
    let measured = measured.map_or_else(String::new, |time| format!(", measured {time}"));
    format!("slo       {phase}{}: {verdict}{measured}", slo.objective)
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), readable_us)
}

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn whole(run: &Run) -> String {
    let mut rows = vec![texts(["class", "latency", "count", "p50", "p90", "p99", "p99.9", "max"])];
    for (class, of) in &run.classes {
        let count = of.count.to_string();
        for (class, latency, count, p) in [
            (class.as_str(), "response", count.as_str(), of.response_us),
            ("", "service", "", of.service_us),
        ] {
            let Percentiles { p50, p90, p99, p999, max } = p;
            let mut row = texts([class, latency, count]);
            row.extend([p50, p90, p99, p999, max].map(number));
            rows.push(row);
        }
    }
    grid(2, &rows)
}

/// Returns the 95 % intervals of the p99, for classes that have one.
fn intervals(run: &Run) -> impl Iterator<Item = String> {
    run.classes.iter().filter_map(|(class, of)| {
        let [low, high] = of.p99_interval_us?.map(readable_us);
        Some(format!("interval  the p99 of {class} lies within {low} to {high} (95 %)"))
    })
}

fn parts(run: &Run) -> String {
    let mut rows = vec![texts(["part", "class", "valid", "count", "p50", "p99"])];
    for part in run.parts.iter().flatten() {
        let valid = if part.valid { "yes" } else { "NO" };
        for (class, of) in &part.classes {
            let mut row = texts([&part.folder, class.as_str(), valid]);
            row.extend([of.count.to_string(), number(of.p50_us), number(of.p99_us)]);
            rows.push(row);
        }
    }
    grid(3, &rows)
}
