//! Comparison of two results.

use std::fs;

use mintbench::harness::document::compare::Comparison;
use serde_json::Value;

use crate::xml::parse;
use crate::{Copy, against_schema, code, mintbench, stderr, stdout};

fn compare(copy: &Copy, more: &[&str]) -> std::process::Output {
    let (a, b) = (copy.text("run"), copy.text("other"));
    mintbench(&[&["compare", &a, &b], more].concat())
}

fn pair(a: &str, b: &str) -> Copy {
    let copy = Copy::of(a);
    copy.add(b, "other");
    copy
}

#[test]
fn ratios_are_of_the_percentiles_that_the_runs_report() {
    let copy = pair("churn", "rotate");
    let output = compare(&copy, &["--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    against_schema("compare-1", &found);
    let read: Comparison = serde_json::from_value(found.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), found, "what is read is what was written");
    let [a, b] = ["run", "other"].map(|name| crate::json(&copy.path(name).join("run.json")));
    for (percentile, field) in [("p50", "p50"), ("p90", "p90"), ("p99", "p99"), ("p99.9", "p999")] {
        for latency in ["response_us", "service_us"] {
            let ratio = &found["classes"]["hit"][latency][percentile];
            let [a, b] =
                [&a, &b].map(|run| run["classes"]["hit"][latency][field].as_f64().unwrap());
            assert_eq!((ratio["a"].as_f64(), ratio["b"].as_f64()), (Some(a), Some(b)));
            assert!((ratio["ratio"].as_f64().unwrap() - b / a).abs() < 1e-12);
        }
    }
    let cpu = &found["cpu_us_per_request"];
    assert_eq!(cpu["b"], b["broker"]["cpu_us_per_request"]);
    // The second run is too short for an interval, so the ratio has none either.
    assert_eq!(crate::p99_interval_us(&copy.path("other"), "hit"), None);
    assert!(found["classes"]["hit"]["response_us"]["p99"]["interval"].is_null());
}

#[test]
fn a_ratio_of_two_intervals_has_one_that_is_wider_than_either() {
    let copy = pair("churn", "churn");
    let found: Value = serde_json::from_slice(&compare(&copy, &["--json"]).stdout).unwrap();
    let own = &crate::json(&copy.path("run").join("run.json"))["classes"]["hit"];
    let ends = |value: &Value| [0, 1].map(|end| value[end].as_f64().unwrap());
    let [low, high] = ends(&found["classes"]["hit"]["response_us"]["p99"]["interval"]);
    let [own_low, own_high] = crate::p99_interval_us(&copy.path("run"), "hit").unwrap();
    let p99 = own["response_us"]["p99"].as_f64().unwrap();
    assert!(low < own_low / p99 && own_high / p99 < high && low < 1.0 && 1.0 < high);
}

#[test]
fn the_table_names_what_differs_and_where_drift_is_shared() {
    let copy = pair("steady", "churn");
    let text = stdout(&compare(&copy, &[]));
    for part in [
        "the scenario differs: steady and churn",
        "the machine differs",
        "A is invalid:",
        "`mintbench gate` interleaves",
        "CPU per request",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn strict_fails_invalid_runs_and_unlike_machines() {
    let copy = pair("steady", "steady");
    let validity =
        |name: &str, valid: bool| copy.edit(name, |run| run["validity"]["valid"] = valid.into());
    validity("run", true);
    validity("other", false);
    assert_eq!(code(&compare(&copy, &[])), 0);
    assert_eq!(code(&compare(&copy, &["--strict"])), 4);
    validity("other", true);
    assert_eq!(code(&compare(&copy, &["--strict"])), 0);
    copy.edit("other", |run| run["host"]["fingerprint"] = "0123456789ab".into());
    assert_eq!(code(&compare(&copy, &["--strict"])), 6);
    fs::remove_file(copy.path("other").join("run.json")).unwrap();
    assert_eq!(code(&compare(&copy, &["--strict"])), 4);
    assert!(stdout(&compare(&copy, &[])).contains("UNFINISHED"));
}

#[test]
fn the_page_shows_both_curves_and_their_ratio() {
    let copy = pair("churn", "churn");
    let html = copy.text("compare.html");
    let output = compare(&copy, &["--html", &html]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let page = parse(&fs::read_to_string(html).unwrap());
    let figures = page.all("figure");
    let ids: Vec<&str> = figures.iter().map(|figure| figure.attribute("id")).collect();
    assert!(ids.contains(&"curves-hit") && ids.contains(&"ratio-hit"), "{ids:?}");
    let curves = figures.iter().find(|figure| figure.attribute("id") == "curves-hit").unwrap();
    let paths = curves.all("path");
    let drawn = |class: &str| {
        paths.iter().filter(|path| path.attribute("class").starts_with(class)).count()
    };
    assert!(drawn("line c0 solid") >= 1 && drawn("line c1 strokes") >= 1 && drawn("band") >= 2);
    let ratio = figures.iter().find(|figure| figure.attribute("id") == "ratio-hit").unwrap();
    assert!(ratio.all("path").iter().any(|path| path.attribute("class") == "band c0"));
}

#[test]
fn other_numbers_of_folders_and_flags_of_live_comparisons_are_refused() {
    for folders in [&["results/reference/mint"][..], &["results/reference/mint"; 3][..]] {
        assert_eq!(code(&mintbench(&[&["compare"], folders].concat())), 2);
    }
    assert_eq!(code(&mintbench(&["compare"])), 2);
    let both = &["results/reference/mint"; 2];
    for live in [["--target", "http://127.0.0.1:1"], ["--rate", "5"]] {
        let output = mintbench(&[&["compare"], &both[..], &live[..]].concat());
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
    }
}
