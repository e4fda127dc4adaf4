//! The fields of `run.json` as panels, including fields of later versions.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::page::{Alert, Badge, Panel, Table};
use crate::harness::class::Class;
use crate::harness::document::percentiles::{Bounded, Percentiles, ResponsePercentiles, Standing};
use crate::harness::document::run::Run;
use crate::harness::document::run::merged::{Merged, Part};
use crate::harness::document::run::phases::Phase;
use crate::harness::document::run::undisturbed::{Undisturbance, UndisturbedPercentiles};
use crate::harness::report::chart::scale::{plain, rounded};
use crate::harness::report::text::pauses;

/// Returns the verdicts of a run.
pub(crate) fn badges(run: &Run) -> Vec<Badge> {
    let badge = |good: bool, yes: &str, no: &str| Badge {
        good,
        text: if good { yes } else { no }.to_owned(),
    };
    let mut badges =
        vec![validity_badge(run), badge(run.checks.passed, "checks passed", "checks FAILED")];
    if !run.slo.is_empty() {
        let met = run.slo.iter().all(|slo| slo.met == Some(true));
        let missed = run.slo.iter().any(|slo| slo.met == Some(false));
        let not_met = if missed { "objectives BREACHED" } else { "objectives: cannot tell" };
        badges.push(badge(met, "objectives met", not_met));
    }
    badges
}

fn validity_badge(run: &Run) -> Badge {
    let text = match (run.validity.valid, run.validity.is_undisturbed()) {
        (false, _) => "INVALID",
        (true, false) => "disturbed",
        (true, true) => "valid",
    };
    Badge { good: run.validity.is_undisturbed(), text: text.to_owned() }
}

/// Returns the warnings to read before the figures.
pub(crate) fn alerts(run: &Run) -> Vec<Alert> {
    let alert = |title: &str, reasons: &[String]| {
        (!reasons.is_empty()).then(|| Alert { title: title.to_owned(), reasons: reasons.to_vec() })
    };
    let failed = alert("Checks failed", &run.checks.failures);
    let invalid = alert(&invalidity(run), &run.validity.reasons);
    let disturbed = alert(DISTURBED, &run.validity.disturbances);
    let paused = pauses::headline(&run.load)
        .map(|said| Alert { title: "Paused".to_owned(), reasons: vec![said] });
    failed.into_iter().chain(invalid).chain(paused).chain(disturbed).collect()
}

const DISTURBED: &str = "Disturbed: each percentile is marked as measured (no mark), as an upper bound (<), or as unknown (?)";

/// Describes which figures of an invalid run are usable.
fn invalidity(run: &Run) -> String {
    let usable = run.validity.usable.as_deref().unwrap_or_default();
    match (&run.interrupted, usable) {
        (Some(_), [_, _, _]) => "Interrupted: these figures are of the part until then".to_owned(),
        (_, []) => "Invalid: the generator or the host was the bottleneck, so these figures say nothing about the target".to_owned(),
        (_, some) => format!(
            "Invalid: the {} can be used and nothing above, because of the generator or the host",
            some.join(" and the ")
        ),
    }
}

/// Returns the percentiles of each class in microseconds, as in `run.json`.
pub(crate) fn summary(run: &Run) -> Table {
    let head = [
        "class", "latency", "count", "errors", "p50", "p90", "p99", "p99.9", "max", "p99 from",
        "p99 to",
    ];
    let mut rows = Vec::new();
    for (class, result) in &run.classes {
        let [low, high] = result.p99_interval_us.map_or([None; 2], |ends| ends.map(Some));
        let mut row =
            |(latency, count): (&str, u64), percentiles: [String; 5], tail: [String; 2]| {
                let mut cells = vec![class.to_string(), latency.to_owned()];
                cells.extend([count.to_string(), result.errors.to_string()]);
                cells.extend(percentiles);
                cells.extend(tail);
                rows.push(cells);
            };
        row(("response", result.count), marked_all(result.response_us), [known(low), known(high)]);
        let Percentiles { p50, p90, p99, p999, max } = result.service_us;
        if let Some(kept) = undisturbed(run, *class) {
            let UndisturbedPercentiles { p50, p90, p99, p999 } = kept.response_us;
            let percentiles = [Some(p50), Some(p90), Some(p99), p999, None].map(known);
            let [low, high] = kept.p99_interval_us.map_or([None; 2], |ends| ends.map(Some));
            row(("undisturbed", kept.count), percentiles, [known(low), known(high)]);
        }
        row(
            ("service", result.count),
            [p50, p90, p99, p999, max].map(known),
            [String::new(), String::new()],
        );
    }
    let caption = "Microseconds by class; the last two columns are the 95 % interval of the p99";
    Table { caption: caption.to_owned(), head: head.map(str::to_owned).to_vec(), rows }
}

/// Returns the undisturbed figures of a class, if there are any.
fn undisturbed(run: &Run, class: Class) -> Option<&Undisturbance> {
    run.undisturbed.as_ref()?.classes.get(&class)?.kept.as_ref()
}

/// Returns all other facts, one panel for each part of `run.json`.
pub(crate) fn panels(run: &Run) -> Vec<Panel> {
    let mut panels = vec![validity(run), panel("Load", &run.load), panel("Host", &run.host)];
    panels.extend([panel("Build", &run.build), panel("Verification", &run.verified)]);
    panels.push(panel("Answers by status", &run.statuses));
    let causes = run.causes.as_ref().filter(|causes| !causes.is_empty());
    let optional = [
        causes.map(|causes| panel("Failed requests by cause", causes)),
        run.undisturbed.as_ref().map(|of| panel("Undisturbed time", of)),
        run.broker.as_ref().map(|broker| panel("Broker", broker)),
        run.interrupted.as_ref().map(|interrupted| panel("Interrupted", interrupted)),
        run.attempts.as_ref().map(|attempts| panel("Attempts", attempts)),
        run.changes.as_ref().map(|changes| panel("Changes under load", changes)),
        run.churn.as_ref().map(|churn| panel("Churn", churn)),
        run.rotation.as_ref().map(|rotation| panel("Rotation", rotation)),
        run.outage.as_ref().map(|outage| panel("Outage", outage)),
        (!run.slo.is_empty()).then(|| panel("Objectives", &run.slo)),
        (!run.phases.is_empty()).then(|| phases(&run.phases)),
        run.merged.as_ref().map(|merged| parts(merged, run.parts.as_deref().unwrap_or_default())),
    ];
    panels.extend(optional.into_iter().flatten());
    panels.extend(
        run.extra
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| panel(&heading(name), value)),
    );
    panels.extend(notes(run));
    panels
}

fn validity(run: &Run) -> Panel {
    let mut panel = panel("Validity", &run.validity);
    let verdict = match (run.validity.valid, run.validity.is_undisturbed()) {
        (true, true) => "The generator and the host kept up.",
        (true, false) => "The disturbances of this run stand at the top of the page.",
        (false, _) => "The reasons why this run is invalid stand at the top of the page.",
    };
    panel.sentences = vec![verdict.to_owned()];
    // The wait of the classes' requests for a connection is shown beside the generator's lateness.
    let waits: Map<String, Value> = run
        .classes
        .iter()
        .filter_map(|(class, result)| {
            Some((class.to_string(), serde_json::to_value(result.queue_us).ok()?))
        })
        .collect();
    panel.tables.extend(columns("wait for a connection, us", &waits));
    let intervals = run.classes.iter().filter_map(|(class, result)| {
        Some(format!("No interval of the p99 of {class}: {}.", result.p99_interval_note.as_ref()?))
    });
    panel.sentences.extend(intervals);
    panel
}

/// Returns the phases of the run, class by class.
fn phases(phases: &[Phase]) -> Panel {
    let head = [
        "phase",
        "from (s)",
        "for (s)",
        "rate",
        "class",
        "count",
        "errors",
        "p50 (us)",
        "p90 (us)",
        "p99 (us)",
        "p99.9 (us)",
        "max (us)",
    ];
    let mut rows = Vec::new();
    for phase in phases {
        for (class, of) in &phase.classes {
            let mut cells = vec![phase.name.clone(), rounded(phase.start_s)];
            let rate = rounded(phase.rate_target);
            cells.extend([rounded(phase.duration_s), rate, class.to_string()]);
            cells.extend([of.count.to_string(), of.errors.to_string()]);
            cells.extend(marked_all(of.response_us));
            rows.push(cells);
        }
    }
    let caption = "Response times by phase".to_owned();
    let table = Table { caption, head: head.map(str::to_owned).to_vec(), rows };
    Panel { title: "Phases".to_owned(), tables: vec![table], ..Panel::default() }
}

/// Returns the parts of a merged result.
fn parts(merged: &Merged, parts: &[Part]) -> Panel {
    let head = ["part", "from", "class", "count", "p50 (us)", "p99 (us)", "valid", "host"];
    let mut rows = Vec::new();
    for part in parts {
        for (class, of) in &part.classes {
            let valid = if part.valid { "yes" } else { "NO" };
            let mut cells = vec![part.folder.clone(), part.started_at.clone(), class.to_string()];
            cells.extend([of.count.to_string(), known(of.p50_us), known(of.p99_us)]);
            cells.extend([valid.to_owned(), part.host.fingerprint.clone()]);
            rows.push(cells);
        }
    }
    let caption = format!("Response times by part, aligned by {}", merged.align);
    let table = Table { caption, head: head.map(str::to_owned).to_vec(), rows };
    let whole = if merged.partial { "Some of it is MISSING." } else { "Nothing is missing." };
    let mut sentences = vec![whole.to_owned()];
    sentences.extend(merged.remarks.iter().cloned());
    Panel { title: "Parts".to_owned(), sentences, tables: vec![table], ..Panel::default() }
}

fn marked_all(of: ResponsePercentiles) -> [String; 5] {
    of.named().map(|(_, of)| marked(of))
}

/// Formats a percentile of the response time with a mark for its standing.
fn marked(of: Option<Bounded>) -> String {
    let Some(Bounded { value, standing, .. }) = of else { return known(None) };
    match standing {
        Standing::Measured | Standing::Recorded => rounded(value),
        Standing::Bounded => format!("<{}", rounded(value)),
        Standing::Unknown => format!("{}?", rounded(value)),
    }
}

fn known(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), rounded)
}

fn notes(run: &Run) -> Option<Panel> {
    (!run.notes.is_empty()).then(|| Panel {
        title: "Notes".to_owned(),
        sentences: run.notes.clone(),
        ..Panel::default()
    })
}

/// Returns a panel of all fields of a value.
pub(crate) fn panel(title: &str, value: &impl Serialize) -> Panel {
    let mut panel = Panel { title: title.to_owned(), ..Panel::default() };
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => object(&mut panel, &fields),
        Ok(Value::Array(items)) => array(&mut panel, title, &items),
        Ok(other) => panel.sentences.push(text("", &other)),
        // All values were read from JSON, so this cannot happen.
        Err(_) => {}
    }
    panel
}

fn object(panel: &mut Panel, fields: &Map<String, Value>) {
    let (mut nested, mut deeper) = (Map::new(), Vec::new());
    for (name, value) in fields {
        match value {
            Value::Object(inner) if inner.values().all(is_plain) => {
                nested.insert(name.clone(), value.clone());
            }
            Value::Object(_) => deeper.push((name, value)),
            Value::Array(items) => array(panel, &heading(name), items),
            value => panel.pairs.push((heading(name), text(name, value))),
        }
    }
    panel.tables.extend(alike(&panel.title, nested));
    for (name, value) in deeper {
        let Value::Object(inner) = value else { continue };
        let objects: Map<String, Value> = inner
            .iter()
            .filter(|(_, value)| value.is_object())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        panel.tables.extend(columns(&heading(name), &objects));
        let others = inner.iter().filter(|(_, value)| !value.is_object());
        panel.pairs.extend(others.map(|(key, value)| {
            (format!("{}: {}", heading(name), heading(key)), text(key, value))
        }));
    }
}

/// Maximum length of a name. Longer texts are shown as sentences; names fit beside their heading.
const NAME_MAX: usize = 40;

fn array(panel: &mut Panel, name: &str, items: &[Value]) {
    if items.iter().all(Value::is_object) {
        let rows = items.iter().enumerate();
        let rows: Map<String, Value> =
            rows.map(|(index, item)| (format!("{:>6}", index + 1), item.clone())).collect();
        panel.tables.extend(columns(name, &rows));
    } else if items.iter().any(|item| item.as_str().is_some_and(|text| text.len() > NAME_MAX)) {
        panel.sentences.extend(items.iter().map(|item| text("", item)));
    } else {
        let values: Vec<String> = items.iter().map(|item| text("", item)).collect();
        panel.pairs.push((name.to_owned(), values.join(", ")));
    }
}

/// Returns one table for all objects with the same fields.
fn alike(caption: &str, objects: Map<String, Value>) -> Vec<Table> {
    let mut groups: BTreeMap<Vec<String>, Map<String, Value>> = BTreeMap::new();
    for (name, value) in objects {
        let fields = value.as_object().map(|fields| fields.keys().cloned().collect());
        groups.entry(fields.unwrap_or_default()).or_default().insert(name, value);
    }
    groups.into_values().filter_map(|rows| columns(caption, &rows)).collect()
}

/// Returns a table with objects as rows and their fields as columns.
fn columns(caption: &str, rows: &Map<String, Value>) -> Option<Table> {
    let mut names: Vec<&String> = Vec::new();
    for fields in rows.values().filter_map(Value::as_object) {
        for name in fields.keys().filter(|name| !names.contains(name)).collect::<Vec<_>>() {
            names.push(name);
        }
    }
    names.sort_by_key(|name| {
        let known = ["p50", "p90", "p99", "p999", "max"];
        known.iter().position(|percentile| percentile == name).unwrap_or(usize::MAX)
    });
    let cell = |fields: &Map<String, Value>, name: &String| {
        fields.get(name).map_or(String::new(), |value| text(name, value))
    };
    let row = |(key, value): (&String, &Value)| {
        let cells = value
            .as_object()
            .map(|fields| names.iter().map(|name| cell(fields, name)).collect::<Vec<_>>());
        std::iter::once(heading(key.trim())).chain(cells.unwrap_or_default()).collect()
    };
    let head =
        std::iter::once(String::new()).chain(names.iter().map(|name| heading(name))).collect();
    let table = Table { caption: caption.to_owned(), head, rows: rows.iter().map(row).collect() };
    (!table.rows.is_empty()).then_some(table)
}

fn is_plain(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

/// Converts a field name to words with its unit.
fn heading(name: &str) -> String {
    let units = ["us", "s", "bytes"];
    let unit = units.into_iter().find_map(|unit| {
        Some((name.strip_suffix(unit)?.strip_suffix('_')?.replace('_', " "), unit))
    });
    match (name, unit) {
        ("p999", _) => "p99.9".to_owned(),
        (_, Some((name, unit))) => format!("{name} ({unit})"),
        (name, None) => name.replace('_', " "),
    }
}

/// Formats a value for a reader. Shares and sizes get a second form; only fractions are rounded.
fn text(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(name, number),
        Value::Array(items) => {
            items.iter().map(|item| text(name, item)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(key, value)| format!("{} {}", heading(key), text(key, value)));
            fields.collect::<Vec<_>>().join("; ")
        }
    }
}

fn number_text(name: &str, number: &Number) -> String {
    match number.as_f64() {
        Some(share) if name.ends_with("_share") => format!("{} %", plain(share * 100.0)),
        Some(bytes) if name.ends_with("_bytes") => {
            format!("{number} ({} MiB)", plain(bytes / f64::from(1 << 20)))
        }
        Some(fraction) if number.is_f64() => rounded(fraction),
        _ => number.to_string(),
    }
}
