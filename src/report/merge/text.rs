//! What a merge says on the terminal.

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::report::stored::Run;
use crate::report::stored::run::Percentiles;

/// The merged percentiles, those of each part, and whether they can be believed.
pub fn render(run: &Run) -> String {
    let mut lines =
        vec![whole(run).to_string(), String::new(), parts(run).to_string(), String::new()];
    let merged = run.merged.iter().flat_map(|merged| &merged.remarks);
    lines.extend(merged.map(|remark| format!("remark    {remark}")));
    if run.merged.as_ref().is_some_and(|merged| merged.partial) {
        lines.push("PARTIAL   some of the result is missing, see above".to_owned());
    }
    for slo in &run.slo {
        let verdict = match slo.met {
            Some(true) => "met",
            Some(false) => "BREACHED",
            None => "cannot tell",
        };
        let measured = slo.measured_us.map_or("unknown".to_owned(), |us| format!("{us:.1} us"));
        lines.push(format!("slo       {}: {verdict}, measured {measured}", slo.objective));
    }
    lines.extend(run.checks.failures.iter().map(|failure| format!("FAILED    {failure}")));
    lines.extend(run.validity.reasons.iter().map(|reason| format!("INVALID   {reason}")));
    if run.validity.valid {
        lines.push("valid     in every part the generator and the host kept up".to_owned());
    }
    lines.join("\n") + "\n"
}

fn number(value: Option<f64>) -> Cell {
    let text = value.map_or("-".to_owned(), |us| format!("{us:.1}"));
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn count(count: u64) -> Cell {
    Cell::new(count).set_alignment(CellAlignment::Right)
}

fn whole(run: &Run) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["class", "us", "count", "p50", "p90", "p99", "p99.9", "max", "p99 within"]);
    for (class, of) in &run.classes {
        let within = of.p99_interval_us;
        let within = within.map_or("-".to_owned(), |[low, high]| format!("{low:.1} - {high:.1}"));
        for (latency, p, within) in
            [("response", of.response_us, within), ("service", of.service_us, String::new())]
        {
            let Percentiles { p50, p90, p99, p999, max } = p;
            let mut row = vec![Cell::new(class), Cell::new(latency), count(of.count)];
            row.extend([p50, p90, p99, p999, max].map(number));
            row.push(Cell::new(within));
            table.add_row(row);
        }
    }
    table
}

fn parts(run: &Run) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["part", "class", "count", "p50", "p99", "valid"]);
    for part in run.parts.iter().flatten() {
        let valid = if part.valid { "yes" } else { "NO" };
        for (class, of) in &part.classes {
            table.add_row([
                Cell::new(&part.folder),
                Cell::new(class),
                count(of.count),
                number(of.p50_us),
                number(of.p99_us),
                Cell::new(valid),
            ]);
        }
    }
    table
}
