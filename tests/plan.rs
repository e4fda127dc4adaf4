//! `mintbench plan`, black box: the real binary, with its own broker or with result folders.
//!
//! The assertions also hold on a busy machine. They do not depend on an objective being met there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mintbench::base::clock::Monotonic;
use mintbench::harness::document::plan::Plan;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const FLEET: &str = "[fleet]\nvms = 400\nresources = 2\nuncached-per-second = 0.5\n\
                     [kits]\npython = 0.5\ngo = 0.5\n\
                     [storm]\nvms = 200\nwithin = \"2s\"\np99 = \"5s\"\n[nodes]\ncores = 2\n";

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("fleet.toml"), FLEET).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
        command.args(["plan", "--fleet"]).arg(self.path("fleet.toml")).args(args);
        command
    }

    fn plan(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Makes the result folder of a short run.
    fn run(&self, scenario: &str, rate: &str) -> String {
        let out = self.path(&format!("{scenario}-{rate}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
        command.args([
            "run",
            scenario,
            "--vms=20",
            "--duration=1s",
            "--warmup=500ms",
            "--rate",
            rate,
        ]);
        let output = command.arg("--out").arg(&out).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}", stderr(&output));
        out.to_str().unwrap().to_owned()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn validated(text: &[u8]) -> Value {
    let json: Value = serde_json::from_slice(text).unwrap();
    let schema = std::fs::read_to_string("docs/schema/plan-1.json").unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let read: Plan = serde_json::from_slice(text).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), json, "what is read is what was written");
    json
}

/// Asserts that the exit code, the answer and its sentence agree.
fn answers_by_exit_code(json: &Value, output: &Output) {
    let said = json.pointer("/sentences/0").and_then(Value::as_str).unwrap();
    let (code, says) = match json["answer"].as_str().unwrap() {
        "enough" => (0, [" the least for ", " enough for "].iter().any(|part| said.contains(part))),
        "not-enough" => (5, said.contains(" not enough for ")),
        "never" => (5, said.starts_with("No number of nodes")),
        "out-of-reach" => (5, said.starts_with("No plan: no measured rate")),
        "cannot-tell" => (3, said.starts_with("Cannot tell: ")),
        "unknown" => (4, said.starts_with("No plan: ")),
        other => panic!("{other}"),
    };
    assert_eq!(output.status.code(), Some(code), "{said} {}", stderr(output));
    assert!(says, "{said}");
    let missed = json.pointer("/forecast/missed");
    let is_met = missed.and_then(Value::as_array).is_some_and(Vec::is_empty);
    assert!(code != 0 || is_met, "{missed:?}");
}

#[test]
fn a_plan_measures_simulates_and_checks_itself() {
    let fixture = Fixture::new();
    let out = fixture.path("out");
    let (slo, folder) = ("--slo=p99<100ms", out.to_str().unwrap());
    let output = fixture.plan(&["--quick", slo, "--replications=3", "--json", "--out", folder]);
    let code = output.status.code();
    let json = validated(&output.stdout);
    answers_by_exit_code(&json, &output);
    let progress = stderr(&output);
    assert!(progress.contains("level 1 of about ") && progress.contains(" left"), "{progress}");
    assert!(progress.contains("simulating "), "{progress}");
    assert!(!progress.contains("0/0"), "{progress}");
    assert_eq!(std::fs::read(out.join("plan.json")).unwrap(), output.stdout);
    let text = std::fs::read_to_string(out.join("plan.txt")).unwrap();
    assert!(
        text.starts_with(json.pointer("/sentences/0").and_then(Value::as_str).unwrap()),
        "{text}"
    );
    assert!(text.contains("busiest minute"), "{text}");
    for side in ["hit", "mint"] {
        assert!(json[side]["cost"]["core_us"].as_f64().unwrap() > 0.0);
        let levels = json[side]["levels"].as_array().unwrap();
        // A level that was given up has no pauses to tell.
        assert!(levels.iter().any(|level| level["paused_share"].is_number()), "{json}");
        let met = json[side]["rate_per_core"].as_f64();
        assert!(code != Some(0) || met.is_some(), "{json}");
    }
    let mint_us = json["mint"]["cost"]["core_us"].as_f64().unwrap();
    assert!(mint_us > json["hit"]["cost"]["core_us"].as_f64().unwrap(), "a signature costs more");
    let cost = |name: &str| json["costs"][name].as_f64().unwrap();
    assert!(cost("low") < cost("likely") && cost("likely") < cost("high"), "{}", json["costs"]);
    let forecast = &json["forecast"];
    assert!((forecast["demand"]["requests_per_s"].as_f64().unwrap() - 200.0).abs() < 1.0);
    let storm = &forecast["storm"];
    assert_eq!(storm["gave_up_share"]["mean"], 0.0);
    let checked = json["held_out"]["compared"].as_array().unwrap();
    for compared in checked {
        let end = |index: usize| compared["interval"][index].as_f64().unwrap();
        let predicted = compared["predicted"].as_f64().unwrap();
        assert!(end(0) <= predicted && predicted <= end(1), "{compared}");
    }
    let storm = checked.iter().find(|compared| compared["what"] == "p99 of a boot storm");
    let storm = storm.unwrap();
    assert!(
        storm["predicted"].as_f64().unwrap() > 0.0 && storm["measured"].as_f64().unwrap() > 0.0
    );
}

#[test]
fn folders_are_planned_by_without_running_load() {
    let fixture = Fixture::new();
    let folders = [
        fixture.run("steady", "200"),
        fixture.run("steady", "400"),
        fixture.run("mint", "50"),
        fixture.run("mint", "100"),
    ];
    let mut args = vec!["--replications=2", "--json", "--slo=p99<10s", "--from"];
    args.extend(folders.iter().map(String::as_str));
    let output = fixture.plan(&args);
    let json = validated(&output.stdout);
    answers_by_exit_code(&json, &output);
    assert_eq!(json["hit"]["levels"].as_array().unwrap().len(), 2);
    assert_eq!(json["mint"]["levels"][1]["rate"], 100.0);
    assert!(json["mint"]["levels"][1]["paused_share"].is_number(), "{}", json["mint"]);
    let needed = json["forecast"]["nodes_needed"].as_u64().unwrap();
    assert!(needed >= 2);
    let end = |name: &str| json["nodes"][name].as_u64().unwrap();
    assert!(end("at_least") <= needed && needed <= end("at_most"), "{}", json["nodes"]);
    assert_eq!(json["costs"]["repeats"], 0);
    assert_eq!(json["held_out"]["compared"].as_array().unwrap().len(), 0);
    assert_eq!(validated(&fixture.plan(&args).stdout)["forecast"], json["forecast"], "seeded");

    // A storm for which no mint is fast enough, of machines that ask for more at once than Azure admits.
    let storm =
        FLEET.replace("p99 = \"5s\"", "p99 = \"1us\"").replace("resources = 2", "resources = 6");
    std::fs::write(fixture.path("fleet.toml"), storm).unwrap();
    let output = fixture.plan(&args);
    let json = validated(&output.stdout);
    answers_by_exit_code(&json, &output);
    assert!(json["forecast"]["nodes_needed"].is_null());
    let said = json["sentences"].to_string();
    assert!(said.contains("a VM that boots asks for 6 tokens"), "{said}");
    assert!(matches!(output.status.code(), Some(4 | 5)), "{}", stderr(&output));
    std::fs::write(fixture.path("fleet.toml"), FLEET).unwrap();

    let out_of_reach = ["--slo=p99<1us", "--replications=2", "--from"];
    let args: Vec<&str> =
        out_of_reach.into_iter().chain(folders.iter().map(String::as_str)).collect();
    let output = fixture.plan(&args);
    // A generator that is late by a microsecond could be the cause, so the plan may have no answer.
    assert!(matches!(output.status.code(), Some(4 | 5)), "{}", stderr(&output));

    let half = fixture.plan(&["--json", "--from", &folders[0]]);
    assert_eq!(half.status.code(), Some(2), "{}", stderr(&half));
    assert!(stderr(&half).contains("`run mint`"), "{}", stderr(&half));

    let path = Path::new(&folders[2]).join("run.json");
    let mut run: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    run["host"]["fingerprint"] = "another".into();
    std::fs::write(&path, run.to_string()).unwrap();
    let unlike = fixture.plan(&["--from", &folders[0], &folders[2]]);
    assert_eq!(unlike.status.code(), Some(2), "{}", stderr(&unlike));
    assert!(stderr(&unlike).contains("unlike machines"), "{}", stderr(&unlike));
}

#[test]
fn what_is_wrong_is_refused_and_named() {
    let fixture = Fixture::new();
    let refused = |args: &[&str], part: &str| {
        let output = fixture.plan(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(part), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    };
    refused(&["--slo", "p99"], "is not an objective");
    refused(&["--target", "2"], "0.05 to 0.95");
    refused(&["--levels-duration", "1ms"], "use 100ms to 1h");
    refused(&["--from", "/nowhere"], "is no result folder");
    let herd = fixture.run("mint", "50");
    let text = std::fs::read_to_string(Path::new(&herd).join("run.json")).unwrap();
    std::fs::write(Path::new(&herd).join("run.json"), text.replace("\"mint\"", "\"herd\""))
        .unwrap();
    refused(&["--from", &herd], "is a result of `herd`");
    let args = text.replace("\"serve_args\": []", "\"serve_args\": [\"--alg\", \"ES256\"]");
    assert_ne!(args, text);
    std::fs::write(Path::new(&herd).join("run.json"), args).unwrap();
    refused(&["--from", &herd], "started with `--alg ES256`");
    let file = text.replace("\"scenario_file\": null", "\"scenario_file\": \"mint.toml\"");
    assert_ne!(file, text);
    std::fs::write(Path::new(&herd).join("run.json"), file).unwrap();
    refused(&["--from", &herd], "of the scenario file `mint.toml`");
    for (fleet, part) in [
        ("[fleet]\nvms = 0\n[nodes]\ncores = 1\n", "`fleet.vms`"),
        ("[fleet]\nvms = 1\nvmz = 1\n[nodes]\ncores = 1\n", "`vmz`"),
        ("[fleet]\nvms = 1\n", "`nodes`"),
        ("[fleet", "fleet.toml"),
    ] {
        std::fs::write(fixture.path("fleet.toml"), fleet).unwrap();
        refused(&["--quick"], part);
    }
    std::fs::remove_file(fixture.path("fleet.toml")).unwrap();
    refused(&["--quick"], "the fleet file cannot be used: cannot read");
}

/// Waits until the broker of a level runs, and returns its process id.
fn broker_of(child: &Child) -> String {
    let path = format!("/proc/{0}/task/{0}/children", child.id());
    let clock = Monotonic::start();
    loop {
        let children = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(broker) = children.split_whitespace().next() {
            return broker.to_owned();
        }
        assert!(clock.now_ns() < 60_000_000_000, "no broker within a minute");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn an_interrupt_ends_the_plan_and_its_broker() {
    let fixture = Fixture::new();
    let mut command = fixture.command(&["--levels-duration=1h"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let broker = broker_of(&child);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let known = String::from_utf8_lossy(&output.stdout);
    assert_eq!(known, "no level was measured\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted: no plan was made"), "{}", stderr(&output));
    assert!(!Path::new(&format!("/proc/{broker}")).exists());
}
