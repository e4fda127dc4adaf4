//! Runs that are repeated until they decide what was asked.

use serde_json::Value;

use crate::server::Manner;
use crate::{Run, against, mintbench};

const FEW: [&str; 3] = ["--rate=50", "--duration=500ms", "--pacer-test=0s"];

fn list(run: &Run) -> &[Value] {
    run.json["attempts"]["list"].as_array().unwrap()
}

/// Returns a server that answers at once.
const AT_ONCE: Manner = Manner::Delay(std::time::Duration::ZERO);

#[test]
fn the_first_attempt_that_decides_is_reported() {
    let fixed = ["--attempts=5", "--slo=p50<1m", "--rate=200", "--duration=1s"];
    let run = against(AT_ONCE, &fixed);
    let attempts = &run.json["attempts"];
    assert_eq!(attempts["max"], 5);
    let (last, before) = list(&run).split_last().unwrap();
    // On a busy machine, earlier attempts may have been invalid.
    assert!(before.iter().all(|attempt| attempt["exit_code"] == 4), "{attempts}");
    assert_eq!((&attempts["decided"], &last["left_open"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(run.output.status.code(), Some(0), "{attempts}");
    assert_eq!(last["slo"], run.json["slo"]);
    let chance = attempts["chance"].as_f64().unwrap();
    assert!((chance - 0.025 / 5.0).abs() < 1e-12, "{chance}");
    let said = format!("\nattempt   {} of 5 decided it\n", list(&run).len());
    assert!(run.stdout().contains(&said), "{}", run.stdout());
}

#[test]
fn without_a_decision_the_last_attempt_is_reported_and_the_earlier_ones_are_listed() {
    let run = against(AT_ONCE, &[&["--attempts=2", "--slo=p99<1m"], &FEW[..]].concat());
    assert!(matches!(run.output.status.code(), Some(3 | 4)), "{}", run.stderr());
    assert_eq!(run.json["attempts"]["decided"], false);
    let [first, second] = list(&run) else { panic!("{}", run.json["attempts"]) };
    for (attempt, number) in [(first, 1), (second, 2)] {
        assert_eq!((&attempt["number"], &attempt["seed"]), (&number.into(), &number.into()));
        let open = attempt["left_open"].as_str().unwrap();
        assert!(open.contains("p99<1m: cannot tell from") || attempt["exit_code"] == 4, "{open}");
    }
    assert_eq!(run.json["seed"], 2);
    assert_eq!(run.json["started_at"], second["started_at"]);
    // The folder holds the data of the second attempt, and nothing of the first.
    assert_eq!(run.json["load"]["scheduled"], run.count("all") + run.count("error"));
    assert!(run.folder.path().join("response.hlog").exists());
    assert!(!run.folder.path().join("next-attempt").exists());
    assert!(run.stdout().contains("\nattempt   1 of 2: p50 "), "{}", run.stdout());
    assert!(run.stdout().contains("\nattempt   2 of 2: p50 "), "{}", run.stdout());
    assert!(run.stderr().contains("attempt   1 of 2 left open: "), "{}", run.stderr());
}

#[test]
fn without_an_objective_the_p50_and_the_p99_are_asked() {
    let run = against(AT_ONCE, &[&["--attempts=2"], &FEW[..]].concat());
    let [first, _] = list(&run) else { panic!("{}", run.json["attempts"]) };
    let open = first["left_open"].as_str().unwrap();
    assert!(open.contains("p99 is unknown") || first["exit_code"] == 4, "{open}");
}

#[test]
fn a_failed_check_is_a_decision() {
    let run = against(Manner::HangUp, &[&["--attempts=3"], &FEW[..]].concat());
    assert_eq!(run.output.status.code(), Some(1), "{}", run.stderr());
    assert_eq!(list(&run).len(), 1);
}

#[test]
fn a_single_run_has_no_list_and_too_many_attempts_are_refused() {
    let run = against(AT_ONCE, &FEW);
    assert_eq!(run.json["attempts"], Value::Null);
    assert_eq!(mintbench(&["--attempts=21"]).status.code(), Some(2));
}
