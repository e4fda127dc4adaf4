//! Scenarios from files: phases, mixes, replay, and shortened built-in scenarios.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::server::{Manner, serve};
use super::{Run, mintbench, run};

/// Writes a scenario into its own folder.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn printed(scenario: &str) -> String {
    let output = mintbench(&["--print-scenario", scenario]);
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a built-in scenario after replacing some of its words, each of which it must contain.
fn short(scenario: &str, changes: &[(&str, &str)]) -> Run {
    let shortened = changes.iter().fold(printed(scenario), |text, (from, to)| {
        assert!(text.contains(from), "{scenario} has no `{from}`");
        text.replace(from, to)
    });
    let (_folder, path) = file("short.toml", &shortened);
    run(&[text(&path), "--alg=ES256", "--samples=200"])
}

fn phase<'a>(run: &'a Run, name: &str) -> &'a Value {
    let phases = run.json["phases"].as_array().unwrap();
    phases.iter().find(|phase| phase["name"] == name).unwrap_or_else(|| panic!("{phases:?}"))
}

fn count(phase: &Value, class: &str) -> u64 {
    phase["classes"][class]["count"].as_u64().unwrap_or(0)
}

/// Returns the number of requests of a phase, over all classes.
fn total(phase: &Value) -> u64 {
    let classes = phase["classes"].as_object().unwrap();
    classes.values().map(|class| class["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_boot_storm_mints_each_key_once_and_then_all_are_hits() {
    let run = short(
        "boot-storm",
        &[
            ("vms = 1000", "vms = 50"),
            ("connections = 2000", "connections = 100"),
            ("{ from = 500, to = 2500 }", "{ from = 100, to = 500 }"),
            ("duration = \"4s\"", "duration = \"1s\""),
            ("duration = \"16s\"", "duration = \"1s\""),
            ("rate = 2500", "rate = 200"),
            ("\"poisson\"", "\"constant\""),
        ],
    );
    run.has_result();
    let boot = phase(&run, "boot");
    // 300 requests in a second: each of the 150 keys twice.
    assert_eq!((total(boot), count(boot, "miss")), (300, 150), "{boot}");
    let steady = phase(&run, "steady");
    assert_eq!((total(steady), count(steady, "hit")), (200, 200), "{steady}");
    // The intended rate of each second. Without it the report would show the ramp as flat.
    let course = serde_json::json!({ "step_s": 1, "rates": [300.0] });
    assert_eq!((&boot["rate_course"], &steady["rate_course"]), (&course, &Value::Null));
    assert_eq!(run.json["checks"]["passed"], true);
    assert_eq!(run.json["load"]["rate_target"], Value::Null);
    assert_eq!(run.json["load"]["keys"], Value::Null);
    let table = String::from_utf8_lossy(&run.output.stdout).into_owned();
    assert!(table.contains("boot") && table.contains("phase"), "{table}");
}

#[test]
fn a_vm_above_its_limit_gets_its_share_and_no_other_vm_is_refused() {
    let run = short(
        "throttle",
        &[
            ("vms = 100", "vms = 50"),
            ("connections = 200", "connections = 100"),
            ("identity = 20", "identity = 10"),
            ("rate = 300", "rate = 150"),
            ("duration = \"30s\"", "duration = \"3s\""),
        ],
    );
    run.has_result();
    assert_eq!(run.json["checks"]["passed"], true);
    let throttled = run.count("throttled");
    // VM 0 asks for 100/s.
    assert!(throttled > 100, "{}", run.json["classes"]);
    assert_eq!(run.json["causes"], serde_json::json!({ "status 429": throttled }));
    assert_eq!(run.count("error"), 0);
    let notes = run.json["notes"].to_string();
    assert!(notes.contains(" s at its limit of 10/s"), "{notes}");
}

#[test]
fn nobody_waits_while_all_tokens_are_renewed() {
    let run = short(
        "refresh-wave",
        &[("vms = 100", "vms = 10"), ("rate = 2000", "rate = 300"), ("\"25s\"", "\"6s\"")],
    );
    run.has_result();
    assert_eq!(run.count("miss") + run.count("coalesced"), 0, "{}", run.json["classes"]);
    assert!(run.json["broker"]["refreshes"].as_u64().unwrap() >= 20, "{}", run.json["broker"]);
}

#[test]
fn nothing_fails_while_the_token_service_is_down_and_it_signs_again_after() {
    let run = short(
        "outage",
        &[
            ("vms = 10", "vms = 3"),
            ("refresh-at = 0.1", "refresh-at = 0.02"),
            ("duration = \"5s\"", "duration = \"2s\""),
            ("duration = \"10s\"", "duration = \"4s\""),
            ("duration = \"25s\"", "duration = \"2s\""),
            ("rate = 1000", "rate = 100"),
            ("weight = 999", "weight = 39"),
        ],
    );
    run.has_result();
    let outage = &run.json["outage"];
    assert!(outage["mint_failures"].as_u64().unwrap() > 0, "{outage}");
    assert!(outage["down_s"].as_f64().unwrap() >= 4.0, "{outage}");
    assert_eq!((run.json["changes"]["count"].as_u64(), run.count("error")), (Some(2), 0));
    for name in ["up", "down", "back"] {
        let phase = phase(&run, name);
        assert_eq!(total(phase), count(phase, "hit"), "{phase}");
    }
    // About five are expected; the schedule is the same in every run.
    assert!(count(phase(&run, "new-keys"), "miss") > 0, "{}", run.json["phases"]);
    // Tokens are signed with keys that were published after the service was restarted.
    assert_eq!(run.json["verified"]["bad_signature"], 0);
}

const TWO_PHASES: &str = r#"
warmup = "1s"
world = { vms = 10, user-assigned = 1 }

[[phase]]
name = "calm"
duration = "1s"
arrivals = "constant"
profile = { rate = 100 }
mix = [{ kind = "hit", exponent = 0.5 }]
slo = ["p50<1h", "miss.p99<1h"]

[[phase]]
name = "mixed"
duration = "1s"
arrivals = "constant"
profile = { steps = [50, 150] }
mix = [{ kind = "uniform", weight = 3 }, { kind = "mint", weight = 1 }]
slo = ["p50<1ns", "miss.max<1h"]
"#;

#[test]
fn phases_are_measured_and_judged_one_by_one() {
    let (_folder, path) = file("two.toml", TWO_PHASES);
    let run = run(&[text(&path), "--alg=ES256", "--slo=p50<1h"]);
    // A breach on a quiet machine, invalid on a busy one. No check may fail.
    assert!(matches!(run.output.status.code(), Some(4 | 5)), "{}", run.stderr());
    assert_eq!(run.json["scenario"], "two");
    let (calm, mixed) = (phase(&run, "calm"), phase(&run, "mixed"));
    assert_eq!((total(calm), count(calm, "hit")), (100, 100), "{calm}");
    assert_eq!((&calm["start_s"], &mixed["start_s"]), (&Value::from(0.0), &Value::from(1.0)));
    assert_eq!((total(mixed), &mixed["rate_target"]), (100, &Value::from(100.0)));
    // 25 of 100 are expected, standard deviation 4.3. Only requests for new keys wait.
    assert!((1..=50).contains(&count(mixed, "miss")), "{mixed}");
    assert_eq!(count(mixed, "coalesced"), 0);
    assert_eq!(run.count("hit") + run.count("miss"), 200);
    let slo = run.json["slo"].as_array().unwrap();
    let judged: Vec<(&Value, &Value)> =
        slo.iter().map(|slo| (&slo["phase"], &slo["met"])).collect();
    let [calm, mixed] = [Value::from("calm"), Value::from("mixed")];
    let (yes, no, unknown) = (Value::from(true), Value::from(false), Value::Null);
    let expected =
        [(&Value::Null, &yes), (&calm, &yes), (&calm, &unknown), (&mixed, &no), (&mixed, &yes)];
    assert_eq!(judged, expected);
    assert_eq!(run.json["load"]["keys_filled"], 20);
}

#[test]
fn a_trace_is_replayed_to_the_request() {
    let target = format!("http://{}", serve(Manner::Delay(Duration::ZERO)).0);
    let (folder, path) = file(
        "trace.toml",
        "[[phase]]\nname = \"trace\"\nprofile = { replay = \"t.csv\", speed = 2.0 }\nmix = [{ kind = \"hit\" }]\n",
    );
    let rows: Vec<String> = (0..90).map(|row| (f64::from(row) / 30.0).to_string()).collect();
    let trace = format!("t_offset_s\n{}\n", rows.join("\n"));
    std::fs::write(folder.path().join("t.csv"), trace).unwrap();
    let slow = run(&[text(&path), "--target", &target, "--speed=3"]);
    slow.has_result();
    assert_eq!(slow.count("all"), 90);
    assert_eq!(
        (&slow.json["load"]["arrivals"], &slow.json["load"]["duration_s"]),
        (&Value::from("replay"), &Value::from(2.0))
    );
    std::fs::write(folder.path().join("t.csv"), "t_offset_s,vm\n0,0\nlater,1\n").unwrap();
    let refused = mintbench(&[text(&path), "--target", &target]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("t.csv:3: `t_offset_s` is `later`"), "{stderr}");
}

#[test]
fn a_printed_scenario_runs_as_the_one_that_is_built_in() {
    let (_folder, path) = file("steady.toml", &printed("steady"));
    // A pause would leave a request out of one of the two.
    let flags =
        ["--vms=5", "--rate=50", "--warmup=1s", "--duration=500ms", "--alg=ES256", "--no-pause"];
    let all = |scenario| run(&[&[scenario][..], &flags].concat());
    let (own, built_in) = (all(text(&path)), all("steady"));
    own.has_result();
    for key in ["scenario", "load", "phases"] {
        let facts = |run: &Run| match key {
            "load" => Value::from(vec![
                run.json["load"]["scheduled"].clone(),
                run.json["load"]["connections"].clone(),
                run.json["load"]["keys_filled"].clone(),
            ]),
            "phases" => run.json["phases"][0]["rate_target"].clone(),
            key => run.json[key].clone(),
        };
        assert_eq!(facts(&own), facts(&built_in), "{key}");
    }
}

#[test]
fn a_bad_scenario_is_refused_before_anything_starts() {
    let hit = "mix = [{ kind = \"hit\" }]";
    for (content, flags, message) in [
        ("pace = 3".to_owned(), &[][..], "unknown field `pace`"),
        (
            format!("[[phase]]\nname = \"a\"\nprofile = {{ rate = 1 }}\n{hit}"),
            &[],
            "`duration` is missing",
        ),
        (
            format!("[[phase]]\nname = \"a\"\nduration = \"1s\"\nprofile = {{ rate = -1 }}\n{hit}"),
            &[],
            "phase \"a\": `profile.rate` is -1; write requests per second",
        ),
        (TWO_PHASES.to_owned(), &["--rate=5"], "--rate says nothing of the phases"),
        (TWO_PHASES.to_owned(), &["--duration=5s"], "--duration says nothing of the phases"),
        (TWO_PHASES.to_owned(), &["--target=http://127.0.0.1:1"], "leave out --target"),
    ] {
        let (_folder, path) = file("bad.toml", &content);
        let output = mintbench(&[&[text(&path)][..], flags].concat());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("bad.toml"), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
        assert!(output.stdout.is_empty());
    }
    for (scenario, message) in [
        ("swift", "is not a scenario; write one of boot-storm"),
        ("/nowhere.toml", "the scenario cannot be used: cannot read `/nowhere.toml`"),
    ] {
        let output = mintbench(&[scenario]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
}
