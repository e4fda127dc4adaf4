//! The report page of a gate.

use std::fs;

use serde_json::{Value, json};

use crate::page::drawing_agrees_with_table;
use crate::xml::parse;
use crate::{Copy, code, mintbench, stderr};

/// Returns a metric of an old file, in which effect and bounds come from different methods:
/// `effect` lies beyond the bounds.
fn judged(verdict: &str, effect: f64) -> Value {
    json!({
        "verdict": verdict, "pairs": 6, "smallest_effect": 0.04, "base_median": 100.0,
        "candidate_median": 100.0 * (1.0 + effect), "effect": effect + 0.5,
        "effect_interval": [effect - 0.5, effect + 0.5], "effect_interval_method": "bca",
        "robust_effect": effect, "bounds": [effect - 0.01, null],
        "bounds_method": "signed-rank", "deviation": 0.01, "p": 0.5
    })
}

fn metric(name: &str, judged: &Value) -> Value {
    let why = if judged.is_null() { json!("there were no misses") } else { Value::Null };
    json!({
        "metric": name, "unit": "us", "tolerance": 0.0, "limit": 0.05, "judged": judged,
        "not_judged": why
    })
}

pub(crate) fn document() -> Value {
    let run = crate::json(std::path::Path::new("results/reference/steady/run.json"));
    let build = |name: &str| json!({"name": name, "commit": null, "sha256": null});
    json!({
        "schema": "mintbench/gate/1", "started_at": "2026-11-25T13:49:00Z", "scenario": "steady",
        "seed": 1, "verdict": "fail", "sentence": "hit.p99 is <slower>",
        "base": build("old"), "candidate": build("new"),
        "policy": {
            "design": "pairs", "alpha": 0.05, "power": 0.8, "tolerance": 0.0, "limit": 0.05,
            "metrics": "if-possible", "looks": [6], "pairs_made": 6
        },
        "load": {
            "arrivals": "poisson", "rate": 500.0, "duration_s": 5.0, "warmup_s": 1.0,
            "connections": 5, "vms": 5, "user_assigned": 1, "threads": 1
        },
        "host": run["host"], "build": run["build"],
        "metrics": [
            metric("hit.p50", &judged("pass", -0.01)), metric("hit.p99", &judged("fail", 0.12)),
            metric("miss.p99", &Value::Null)
        ],
        "pairs": [], "failures": [], "notes": ["a note"]
    })
}

fn folder() -> Copy {
    let copy = Copy::of("steady");
    let dir = copy.path("gate");
    fs::create_dir(&dir).unwrap();
    for side in ["base", "candidate"] {
        fs::copy(
            copy.path("run").join("response.hit.hgrm"),
            dir.join(format!("{side}.response.hit.hgrm")),
        )
        .unwrap();
    }
    copy
}

#[test]
fn the_page_shows_changes_with_intervals_and_both_curves() {
    let document = document();
    crate::against_schema("gate-1", &document);
    let copy = folder();
    fs::write(copy.path("gate").join("gate.json"), document.to_string()).unwrap();
    let page = parse(&copy.report("gate"));
    assert!(page.all("h1")[0].text.contains("Gate: fail"));
    assert!(page.whole_text().contains("hit.p99 is <slower>"));
    let figures = page.all("figure");
    let ids: Vec<&str> = figures.iter().map(|figure| figure.attribute("id")).collect();
    assert_eq!(ids, ["changes", "curves-hit"]);
    assert!(drawing_agrees_with_table(figures[1]) > 40);
    let text = page.all("table")[0].whole_text();
    for part in ["hit.p99", "12", "there were no misses", "fail"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let description = figures[0].whole_text();
    assert!(description.contains("hit.p50: pass, 1 % better."), "{description}");
    assert!(description.contains("hit.p99: fail, 12 % worse."), "{description}");
    assert!(!text.contains("62"), "an effect beyond its bounds is shown: {text}");
    // Effects of -1 % and 12 %. Each line runs from the low end of its interval to the edge, where
    // the interval is open.
    let svg = figures[0].all("svg")[0];
    let axis: Vec<f64> =
        svg.attribute("data-x").split(' ').skip(1).map(|text| text.parse().unwrap()).collect();
    let value =
        |place: f64| axis[0] + (place - axis[2]) / (axis[3] - axis[2]) * (axis[1] - axis[0]);
    let lines: Vec<&str> = svg
        .all("path")
        .into_iter()
        .filter(|path| path.attributes.contains_key("data-series"))
        .map(|path| path.attribute("d"))
        .collect();
    for (line, low) in lines.iter().zip([-2.0, 11.0]) {
        let numbers: Vec<f64> =
            line.split(['M', 'L', ' ']).filter_map(|number| number.parse().ok()).collect();
        assert!((value(numbers[0]) - low).abs() < 0.01, "{line}");
        assert!((numbers[2] - axis[3]).abs() < 0.01, "{line}");
    }
    assert_eq!(lines.len(), 2);
}

#[test]
fn another_schema_and_damage_are_refused() {
    let copy = folder();
    let refused = |text: &str| {
        fs::write(copy.path("gate").join("gate.json"), text).unwrap();
        let output = mintbench(&["report", &copy.text("gate")]);
        assert_eq!(code(&output), 2);
        stderr(&output)
    };
    assert!(refused("{\"schema\":\"mintbench/gate/2\"}").contains("schema `mintbench/gate/2`"));
    assert!(refused("{").contains("gate.json` is damaged"));
    fs::write(copy.path("gate").join("base.response.hit.hgrm"), "Value\n1 2 three\n").unwrap();
    assert!(
        refused(&document().to_string()).contains("base.response.hit.hgrm` is damaged in line 2")
    );
}
