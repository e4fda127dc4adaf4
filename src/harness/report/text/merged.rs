//! The terminal output of a merge.

use super::layout::grid;
use super::table::{head, intervals, or_dash, response_row, row};
use crate::base::clock::readable_us;
use crate::harness::document::run::Run;
use crate::harness::document::run::slo::Slo;

/// Returns the merged percentiles, those of each part, the remarks and the validity.
pub(crate) fn render(run: &Run) -> String {
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
    let disturbances = &run.validity.disturbances;
    lines.extend(disturbances.iter().map(|reason| format!("disturbed {reason}")));
    if run.validity.is_undisturbed() {
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

fn texts<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn whole(run: &Run) -> String {
    let mut rows = vec![head(["class", "latency", "count"])];
    for (class, of) in &run.classes {
        rows.push(response_row(
            [class.as_str(), "response", &of.count.to_string()],
            of.response_us,
        ));
        rows.push(row(["", "service", ""], of.service_us));
    }
    grid(2, &rows)
}

fn parts(run: &Run) -> String {
    let mut rows = vec![texts(["part", "class", "valid", "count", "p50", "p99"])];
    for part in run.parts.iter().flatten() {
        let valid = if part.valid { "yes" } else { "NO" };
        for (class, of) in &part.classes {
            let mut row = texts([&part.folder, class.as_str(), valid]);
            row.extend([of.count.to_string(), or_dash(of.p50_us), or_dash(of.p99_us)]);
            rows.push(row);
        }
    }
    grid(3, &rows)
}
