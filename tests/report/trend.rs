//! Files for trend tools.

use std::fs;

use mintbench::harness::report::stored::read_run;
use serde_json::Value;

use crate::xml::parse;
use crate::{Copy, code, mintbench, stderr};

fn sound() -> Copy {
    let copy = Copy::of("steady");
    copy.edit("run", |run| run["validity"]["valid"] = true.into());
    copy
}

#[test]
fn a_result_is_added_as_a_row_and_written_as_a_list() {
    let copy = sound();
    let (csv, list) = (copy.text("trend.csv"), copy.text("metrics.json"));
    let args = [
        "report",
        &copy.text("run"),
        "--out-csv",
        &csv,
        "--out-json",
        &list,
        "--out-commit",
        "abc",
        "--out-branch",
        "main",
    ];
    for rows in 1..=2 {
        let output = mintbench(&args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let text = fs::read_to_string(&csv).unwrap();
        assert_eq!(text.lines().count(), 1 + rows, "{text}");
        assert!(text.starts_with("time,commit,branch,"), "{text}");
        assert!(text.lines().last().unwrap().contains(",abc,main,"), "{text}");
    }
    let list: Vec<Value> = serde_json::from_slice(&fs::read(list).unwrap()).unwrap();
    let run = crate::json(&copy.path("run").join("run.json"));
    let p99 = list.iter().find(|entry| entry["name"] == "hit_response_p99_us").unwrap();
    assert_eq!(p99["value"], run["classes"]["hit"]["response_us"]["p99"]);
    assert_eq!((&p99["commit"], &p99["valid"]), (&"abc".into(), &true.into()));
}

#[test]
fn an_invalid_run_is_kept_out_of_the_trend() {
    let copy = Copy::of("churn");
    let csv = copy.text("trend.csv");
    let output = mintbench(&["report", &copy.text("run"), "--out-csv", &csv]);
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("it is invalid"), "{}", stderr(&output));
    assert!(!copy.path("trend.csv").exists());
}

#[test]
fn a_file_with_other_columns_is_refused() {
    let copy = sound();
    fs::write(copy.path("trend.csv"), "time,latency\n").unwrap();
    let output = mintbench(&["report", &copy.text("run"), "--out-csv", &copy.text("trend.csv")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("other columns"), "{}", stderr(&output));
}

#[test]
fn a_run_writes_its_report_and_what_is_asked_for_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, csv, list) = (path("out"), path("trend.csv"), path("metrics.json"));
    let output = mintbench(&[
        "run",
        "--strict",
        "--rate",
        "200",
        "--duration",
        "1s",
        "--warmup",
        "1s",
        "--vms",
        "3",
        "--out",
        &out,
        "--out-csv",
        &csv,
        "--out-json",
        &list,
    ]);
    // A busy machine makes the run invalid, which only keeps it out of the trend.
    let valid = code(&output) == 0;
    assert!(valid || code(&output) == 4, "{}", stderr(&output));
    assert_eq!(fs::exists(&csv).unwrap(), valid);
    assert_eq!(stderr(&output).contains("is not added to"), !valid);
    let list: Vec<Value> = serde_json::from_slice(&fs::read(list).unwrap()).unwrap();
    assert!(list.iter().all(|entry| entry["valid"] == valid));
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert_eq!(parse(&page).all("h1")[0].text.split(':').next(), Some("steady"));

    // The reader keeps every field of a current run.json.
    let read = read_run(&folder.path().join("out")).unwrap().unwrap();
    let written = crate::json(&folder.path().join("out/run.json"));
    assert_eq!(serde_json::to_value(read).unwrap(), written);
    crate::against_schema("run-2", &written);
}
