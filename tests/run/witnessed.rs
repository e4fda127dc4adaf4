//! Pauses and the undisturbed view of real runs.

use super::run;

const SHORT: [&str; 5] = ["--vms=5", "--rate=200", "--warmup=0s", "--duration=1s", "--alg=ES256"];

#[test]
fn a_run_says_how_long_it_paused_and_what_was_undisturbed() {
    let run = run(&SHORT);
    run.has_result();
    let paused_s = run.json["load"]["paused_s"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&paused_s), "{paused_s}");
    let classes = run.json["undisturbed"]["classes"].as_object().unwrap();
    assert!(!classes.is_empty());
    // 200 answers are too few for a p99.
    assert!(classes.values().all(|class| class["kept"].is_null() && class["note"].is_string()));
    let listed = std::fs::read_to_string(run.folder.path().join("left-out.csv")).unwrap();
    let mut rows = listed.lines();
    assert_eq!(rows.next(), Some("start_unix_s,length_s,witnesses"));
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        let length_s: f64 = fields[1].parse().unwrap();
        assert!(length_s > 0.0 && length_s <= 1.0 && !fields[2].is_empty(), "{row}");
    }
}

#[test]
fn without_pauses_the_schedule_goes_on() {
    let run = run(&[&SHORT[..], &["--no-pause"]].concat());
    run.has_result();
    assert_eq!(run.json["load"]["paused_s"].as_f64(), Some(0.0));
}
