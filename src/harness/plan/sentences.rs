//! A plan as sentences and one table.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::cost_interval::{CostInterval, MODEL_ERROR};
use super::fit::Side;
use super::forecast::{Case, Forecast, Situation};
use super::simulate::estimate::Estimate;
use crate::harness::document::plan;
use crate::harness::document::plan::Plan;
use crate::harness::document::plan::calibration::Basis;
use crate::harness::document::plan::held_out::{Compared, Drift, HeldOut};
use crate::harness::report::text::pauses;

/// Largest prediction error that counts as good, in per cent.
pub(crate) const ERROR_GOOD_PERCENT: f64 = 15.0;

/// Describes one side of the calibration.
pub(crate) fn of_side(name: &str, alg: &str, slo: &str, side: &Side) -> Vec<String> {
    let mut said = Vec::new();
    let what = if name == "hit" { "hits".to_owned() } else { format!("mints ({alg})") };
    let bracket = bracket(side);
    match side.found.met.as_ref() {
        Some(met) if side.is_generator_limited() => said.push(format!(
            "{what}: at least {} per core within {slo}; the generator is the limit beyond, so that this is no capacity ({bracket}).",
            rate(met.rate)
        )),
        Some(met) => said.push(format!(
            "{what}: {} per core within {slo} (bound {:.3} ms); {bracket}.",
            rate(met.rate),
            met.upper_ns / 1e6
        )),
        None => said.push(format!("{what}: no measured rate meets {slo}; {bracket}.")),
    }
    let basis = match side.cost.basis {
        Basis::Processor => "processor time of its busiest levels",
        Basis::Saturation => {
            "its pace when it could do no more, without the time of other programs"
        }
    };
    said.push(format!(
        "each of the {what} takes {:.1} us of a core ({:.1} to {:.1} by level; {basis}).",
        side.cost.core_us, side.cost.low_us, side.cost.high_us
    ));
    said.push(law(&what, side));
    said
}

/// Describes the next rate that missed the objective.
fn bracket(side: &Side) -> String {
    let undecided = side.found.undecided().count();
    let between = match undecided {
        0 => String::new(),
        1 => " (at one rate between them nobody can tell)".to_owned(),
        _ => format!(" (at {undecided} rates between them nobody can tell)"),
    };
    let missed = side.found.missed.as_ref().map(|step| {
        let cause = step.missed.as_ref().map(ToString::to_string).unwrap_or_default();
        let next = if undecided == 0 { "next measured rate" } else { "next rate that missed it" };
        format!("the {next}, {}, failed: {cause}{between}", rate(step.rate))
    });
    missed.unwrap_or_else(|| format!("no rate that was tried failed{between}"))
}

/// Describes the interval of the costs, and its causes.
pub(crate) fn of_costs(costs: CostInterval) -> String {
    let CostInterval { likely, low, high, repeats } = costs;
    let model = format!("the model itself may be off by {:.0} %", MODEL_ERROR * 100.0);
    if repeats == 0 {
        return format!(
            "costs are taken as {low:.2} to {high:.2} times those of the calibration: {model}; how much the machine drifts was not measured."
        );
    }
    format!(
        "costs are taken as {likely:.2} ({low:.2} to {high:.2}) times those of the calibration: they were measured again {repeats} times while the machine drifted, and {model}; at least and at most in the number of nodes are for both ends."
    )
}

fn law(what: &str, side: &Side) -> String {
    let or_none = |knee: Option<f64>| knee.map_or("not reached".to_owned(), rate);
    let knees = format!(
        "knee: {} (d ln p99/d ln rate > 1), {} (Kneedle)",
        or_none(side.knee_elastic),
        or_none(side.knee_kneedle)
    );
    match &side.law {
        Err(error) => format!("{what}, {knees}; no scalability law: {error}."),
        Ok(fitted) => {
            let ceiling = fitted.law.ceiling().map_or_else(
                || "without a ceiling".to_owned(),
                |ceiling| format!("with a ceiling of {}", rate(ceiling)),
            );
            format!(
                "{what}, {knees}; scalability law: sigma {:.3}, kappa {:.2e}, {ceiling}.",
                fitted.law.sigma, fitted.law.kappa
            )
        }
    }
}

/// Describes the demand of the fleet and the load of the nodes.
pub(crate) fn of_forecast(forecast: &Forecast, target: f64) -> Vec<String> {
    let demand = &forecast.demand;
    let mut said = vec![format!(
        "the fleet asks for {} and {:.2} mints/s over the day, {:.2} in its busiest minute; that keeps {:.3} cores busy, so {:.2} cores at {:.0} % utilisation.",
        rate(demand.requests_per_s),
        demand.mints_per_s,
        demand.mints_per_s_busiest,
        demand.cores_busy,
        forecast.cores_for_day,
        target * 100.0
    )];
    let memory = forecast.memory_per_node_bytes.map_or_else(
        || "memory was not measured".to_owned(),
        |bytes| format!("{:.0} MB of memory each", bytes / 1e6),
    );
    said.push(format!(
        "with {} nodes: {:.1} % of the cores' time is used in the busiest minute, and the objective's percentile is {} ms; {memory}.",
        forecast.nodes,
        forecast.steady.utilisation.mean * 100.0,
        estimate(&forecast.steady.quantile_ms)
    ));
    if let Some(lost) = &forecast.lost {
        said.push(format!(
            "with nodes lost: {} ms at that percentile just after, while {:.1} % of the cores' time is used; the load can then grow by {:.0} % to the target.",
            estimate(&lost.quantile_ms),
            lost.utilisation.mean * 100.0,
            forecast.headroom_lost * 100.0
        ));
    }
    let storms = [
        ("the boot storm", &forecast.storm),
        ("the boot storm with nodes lost", &forecast.storm_lost),
    ];
    for (name, storm) in storms {
        said.extend(storm.as_ref().map(|storm| of_storm(name, storm)));
    }
    said
}

fn of_storm(name: &str, storm: &Situation) -> String {
    let p99 = storm.token_p99_ms.map_or("no token".to_owned(), |p99| estimate(&p99));
    format!(
        "{name}: p99 of the time to a token {p99} ms, {:.2} % answered 503, {:.2} % of the callers without a token in the end, {:.0} mints in a node's queue at its peak, the last token {:.2} s after its end.",
        storm.refused_share.mean * 100.0,
        storm.gave_up_share.mean * 100.0,
        storm.queue_peak.mean,
        storm.recovery_s.mean
    )
}

/// Describes the errors of the model on the held-out runs.
pub(crate) fn of_held_out(held_out: &HeldOut) -> Vec<String> {
    let mut said: Vec<String> = held_out.compared.iter().map(of_compared).collect();
    said.extend(of_drift("storms", &held_out.storm_drift));
    said.extend(of_drift("mix", &held_out.mix_drift));
    let paused = pauses::of_levels(held_out.mix.iter().map(|level| level.paused_share));
    said.extend(paused.map(|paused| format!("held out, beside the mix: {paused}.")));
    said.extend(held_out.notes.iter().map(|note| format!("held out: {note}.")));
    said
}

fn of_compared(compared: &Compared) -> String {
    let Compared { what, unit, predicted, interval, measured, error_percent } = compared;
    let ends = interval.map_or(String::new(), |[low, high]| format!(" ({low:.1} to {high:.1})"));
    let far = if compared.doubt().is_some() {
        ", outside of the interval"
    } else if error_percent.abs() < ERROR_GOOD_PERCENT {
        ""
    } else {
        ", which is far but within the interval"
    };
    format!(
        "held out, {what}: predicted {predicted:.1}{ends} {unit}, measured {measured:.1}: {error_percent:+.1} %{far}."
    )
}

/// Describes the change of the machine's speed beside a held-out run.
fn of_drift(what: &str, drift: &Drift) -> Option<String> {
    let times = [("hit", drift.hit), ("mint", drift.mint)].into_iter();
    let parts: Vec<String> =
        times.filter_map(|(of, times)| Some(format!("a {of} took {:.2}", times?))).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "held out, beside the {what}: {} times what it took of a core in the calibration; the \
             prediction allows for that.",
            parts.join(" and ")
        )
    })
}

/// Returns the whole plan for a terminal.
pub(crate) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    let mut sentences = plan.sentences.iter();
    if let Some(answer) = sentences.next() {
        let _ = writeln!(text, "{answer}\n");
    }
    if let Some(forecast) = &plan.forecast {
        let _ = writeln!(text, "{}\n", table(forecast));
    }
    for sentence in sentences {
        let _ = writeln!(text, "- {sentence}");
    }
    for note in &plan.notes {
        let _ = writeln!(text, "NOTE  {note}");
    }
    text
}

fn table(forecast: &plan::forecast::Forecast) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let header = [
        "",
        "used",
        "objective's ms",
        "token p50 ms",
        "token p99 ms",
        "503",
        "no token",
        "queue",
        "recovery s",
    ];
    table.set_header(header);
    let situations = [
        Some(&forecast.steady),
        forecast.lost.as_ref(),
        forecast.storm.as_ref(),
        forecast.storm_lost.as_ref(),
    ];
    for (case, situation) in Case::ALL.into_iter().zip(situations) {
        let Some(situation) = situation else { continue };
        let token =
            |token: &Option<Estimate>| token.map_or(String::new(), |token| estimate(&token));
        let percent = |share: &Estimate| format!("{:.1} %", share.mean * 100.0);
        let cells = [
            percent(&situation.utilisation),
            estimate(&situation.quantile_ms),
            token(&situation.token_p50_ms),
            token(&situation.token_p99_ms),
            percent(&situation.refused_share),
            percent(&situation.gave_up_share),
            format!("{:.0}", situation.queue_peak.mean),
            format!("{:.2}", situation.recovery_s.mean),
        ];
        let cells = cells.into_iter().map(|c| Cell::new(c).set_alignment(CellAlignment::Right));
        table.add_row(std::iter::once(Cell::new(case.as_str())).chain(cells));
    }
    table
}

fn estimate(estimate: &Estimate) -> String {
    format!("{:.2} ({:.2} to {:.2})", estimate.mean, estimate.low, estimate.high)
}

fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.2}/s") } else { format!("{per_second:.0}/s") }
}

#[cfg(test)]
mod tests {
    use super::super::level::tests::level;
    use super::super::level::{Level, Verdict};
    use super::super::plan_json;
    use super::super::search::{Terms, search};
    use super::*;
    use std::convert::Infallible;

    fn side(run: impl Fn(f64) -> Level) -> Side {
        let terms = Terms {
            limit_ns: 2e6,
            start: 100.0,
            rate_max: 1e6,
            resolution: 1.03,
            repeats: 3,
            seed: 1,
        };
        let Ok(found) = search(terms, &mut |rate| Ok::<_, Infallible>(run(rate)));
        Side::fit(found, 1).unwrap()
    }

    fn server(rate: f64) -> Level {
        Level { cpu_us: Some(100.0), ..level(rate, 1e5 + 1e9 / (10_000.0 - rate).max(1.0)) }
    }

    #[test]
    fn a_capacity_is_said_with_its_bracket() {
        let said = of_side("mint", "RS256", "p99<2ms", &side(server)).join(" ");
        assert!(
            said.contains("mints (RS256): 9") && said.contains("per core within p99<2ms"),
            "{said}"
        );
        assert!(said.contains("failed: the percentile is beyond the objective"), "{said}");
        assert!(said.contains("takes 100.0 us of a core"), "{said}");
    }

    #[test]
    fn long_pauses_of_the_mix_are_said() {
        let mix = |paused| {
            let level = Level { paused, ..server(100.0) };
            vec![plan_json::level(&level, &Verdict::Met)]
        };
        let said = |paused| of_held_out(&HeldOut { mix: mix(paused), ..HeldOut::default() });
        assert!(said(None).is_empty() && said(Some(0.05)).is_empty());
        let said = said(Some(0.07)).join(" ");
        assert!(said.contains("beside the mix: at 1 of 1 levels the schedule paused"), "{said}");
    }

    #[test]
    fn the_generators_limit_is_not_called_a_capacity() {
        let limited = |rate: f64| Level {
            generator: (rate > 5000.0).then(|| "it was busy".to_owned()),
            ..server(rate)
        };
        let said = of_side("hit", "RS256", "p99<2ms", &side(limited)).join(" ");
        assert!(said.contains("at least") && said.contains("the generator is the limit"), "{said}");
        assert!(said.contains("no capacity"), "{said}");
    }
}
