//! `mintbench doctor`, black box. Its findings depend on the machine, but it always has one for
//! every check.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use mintbench::harness::document::doctor::Doctor;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn doctor(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mintbench")).arg("doctor").args(args).output().unwrap()
}

fn is_of_the_schema(json: &Value) {
    let schema = std::fs::read_to_string("docs/schema/doctor-1.json").unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<String> = validator.iter_errors(json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let read: Doctor = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), *json, "what is read is what was written");
}

const SUBJECTS: [&str; 19] = [
    "cores",
    "quota",
    "pacer",
    "sleep",
    "interruptions",
    "steal",
    "load",
    "governor",
    "turbo",
    "idle states",
    "smt",
    "clock",
    "loopback",
    "gate",
    "files",
    "ports",
    "backlog",
    "memory",
    "trial",
];

#[test]
fn everything_is_examined_and_the_exit_code_says_whether_there_is_hope() {
    let output = doctor(&["--duration=1s", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    is_of_the_schema(&json);
    let findings = json["findings"].as_array().unwrap();
    let names: Vec<&str> = findings.iter().map(|found| found["name"].as_str().unwrap()).collect();
    assert_eq!(names, SUBJECTS);
    let all = json["usable"] == serde_json::json!(["p50", "p90", "p99"]);
    assert_eq!(json["can_measure"], all);
    assert_eq!(output.status.code(), Some(if all { 0 } else { 4 }));
    let hopeless = findings.iter().any(|found| found["level"] == "hopeless");
    assert!(!(all && hopeless), "{json}");
    let trial = findings.last().unwrap();
    assert!(!all || trial["level"] == "ok", "{trial}");
    for found in findings {
        let is_fine = found["level"] == "ok";
        assert_eq!(found["advice"].is_null(), is_fine, "{found}");
    }
}

#[test]
fn sentences_are_one_to_a_line_and_end_in_a_verdict() {
    let output = doctor(&["--duration=1s"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), SUBJECTS.len() + 2, "{text}");
    for (line, subject) in lines.iter().zip(SUBJECTS) {
        assert!(line.split_at(10).1.starts_with(subject), "{line}");
    }
    assert!(lines.last().unwrap().contains("machine"), "{text}");
}

#[test]
fn an_interrupt_ends_it_in_the_middle_of_an_examination() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["doctor", "--duration=10m"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let clock = Monotonic::start();
    let patient = || {
        assert!(clock.now_ns() < 60_000_000_000, "not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    };
    // The signal handler is installed before the first line is printed.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "examining the machine, about 10 min left\n");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(ended) => break ended,
            None => patient(),
        }
    };
    assert_eq!(ended.code(), Some(130));
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains("interrupted: the examination is not complete"), "{said}");
}
