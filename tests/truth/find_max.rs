//! The highest rate of a server whose capacity is known.

use std::num::NonZeroUsize;
use std::process::{Command, Output};

use serde_json::Value;

use crate::Served;
use crate::server::Service;

fn find_max(args: &[&str]) -> Output {
    let command = ["run", "--find-max", "--arrivals=constant", "--warmup=200ms"];
    Command::new(env!("CARGO_BIN_EXE_mintbench")).args(command).args(args).output().unwrap()
}

/// Returns the document that was printed, which must conform to its schema.
fn document(output: &Output) -> Value {
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let schema = std::fs::read_to_string("docs/schema/find-max-1.json").unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    json
}

/// The exit code of each answer.
const ANSWERS: [(&str, i32); 4] = [("bracket", 0), ("at-least", 3), ("below", 3), ("unknown", 4)];

/// Asserts that the exit code belongs to the answer, and the answer to the ends.
fn agrees(output: &Output, json: &Value) {
    let answer = ANSWERS.iter().find(|(name, _)| json["answer"] == *name);
    assert_eq!(output.status.code(), answer.map(|(_, code)| *code), "{json}");
    let ends = (json["met"].is_object(), json["missed"].is_object());
    let expected = match json["answer"].as_str().unwrap() {
        "bracket" => (true, true),
        "at-least" => (true, false),
        "below" => (false, true),
        _ => (false, false),
    };
    assert_eq!(ends, expected, "{json}");
}

#[test]
fn the_bracket_holds_the_capacity_of_a_server_with_one_worker() {
    // Equal gaps: below 500/s nobody waits, and above it the queue grows to the end of the level.
    let one = Service::Asleep(NonZeroUsize::MIN);
    let served = Served::start_queue("constant:2ms".parse().unwrap(), one);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = find_max(&[
        "--slo=p90<10ms",
        "--rate=200",
        "--duration=1s",
        "--find-max-within=20%",
        "--threads=1",
        "--json",
        "--target",
        &served.target,
        "--out",
        out,
    ]);
    let json = document(&output);
    agrees(&output, &json);
    // A disturbed machine leaves more open, and never makes the server faster.
    if let Some(met) = json["met"]["rate"].as_f64() {
        assert!(met <= 500.0 * 1.01, "{json}");
    }
    // It may make the server slower, so that only levels without a disturbance are held against it.
    let levels = json["levels"].as_array().unwrap();
    assert!(levels.iter().all(|level| level["paused_s"].is_number()), "{json}");
    let quiet = levels.iter().filter(|level| level["disturbances"] == serde_json::json!([]));
    for level in quiet.filter(|level| level["verdict"] == "missed") {
        assert!(level["rate"].as_f64().unwrap() >= 500.0 * 0.98, "{json}");
    }
    let stored = std::fs::read(folder.path().join("find-max.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&stored).unwrap(), json);
    served.end();
}

#[test]
fn our_own_broker_is_searched_up_to_the_largest_rate() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("found");
    let args = ["--slo=p50<1s", "--rate=100", "--rate-max=200", "--duration=500ms", "--vms=5"];
    let output = find_max(&[&args[..], &["--alg=ES256", "--out", out.to_str().unwrap()]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(3 | 4)), "{said}");
    assert!(said.contains("\nverdict") && said.contains("\nanswer    "), "{said}");
    if output.status.code() == Some(3) {
        assert!(said.contains("the highest rate within p50<1s is at least "), "{said}");
    }
    assert!(out.join("find-max.json").exists());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("find-max  from 100/s up to at most 200/s"), "{stderr}");
}

#[test]
fn a_search_that_makes_no_sense_is_refused() {
    for (args, message) in [
        (&["http://127.0.0.1:1"][..], "--find-max needs an objective"),
        (&["mint", "--slo=p99<5ms"], "no load that can be repeated"),
        (&["http://127.0.0.1:1", "--slo=p99<5ms", "-n9"], "--requests is of no use"),
        (&["http://127.0.0.1:1", "--slo=p99<5ms", "--find-max-within=0%"], "out of range"),
    ] {
        let output = find_max(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}
