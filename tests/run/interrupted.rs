//! The files and the output of an interrupted run.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::server::{Manner, Server, serve};
use super::valid;

/// Starts a command and captures its output.
fn begin(command: &str, args: &[&str]) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    program.arg(command).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    program.spawn().unwrap()
}

/// Interrupts a command once `is_ready` returns true.
fn interrupted(child: Child, is_ready: impl Fn() -> bool) -> Output {
    let clock = Monotonic::start();
    while !is_ready() {
        assert!(clock.now_ns() < 60_000_000_000, "not ready within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn asked(server: &Server) -> u64 {
    server.requests.load(Ordering::SeqCst)
}

/// Starts a run of three minutes against such a server, and interrupts it after `requests`
/// requests.
fn cut(manner: Manner, requests: u64, folder: &Path, args: &[&str]) -> Output {
    let (address, server) = serve(manner);
    let target = format!("--target=http://{address}");
    let fixed = ["--rate=100", "--duration=3m", "--pacer-test=0s", "--quiet", &target];
    let out = ["--out", folder.to_str().unwrap()];
    let child = begin("run", &[&fixed[..], &out, args].concat());
    interrupted(child, || asked(&server) >= requests)
}

#[test]
fn an_interrupted_run_prints_what_it_measured_and_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = cut(Manner::Delay(Duration::ZERO), 50, folder.path(), &["--warmup=0s"]);
    let said = stdout(&output);
    assert!(
        said.contains("PARTIAL   interrupted after ") && said.contains(" s of 180 s"),
        "{said}"
    );
    assert!(said.contains("p99.9") && said.contains("all    response"), "{said}");
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    let name = folder.path().display();
    let expected = [
        format!("again     mintbench report {name}"),
        format!("report    {name}/report.html"),
        format!("results   {name}"),
    ];
    assert_eq!(last, expected);

    let json = valid(folder.path());
    assert_eq!(json["interrupted"]["planned_s"], 180.0);
    assert!(json["load"]["duration_s"].as_f64().unwrap() < 180.0, "{}", json["load"]);
    assert!(json["classes"]["all"]["count"].as_u64().unwrap() > 10, "{}", json["classes"]);
    // A script must not take half a run for a whole measurement.
    assert_eq!(json["validity"]["valid"], false);
    assert!(json["validity"]["reasons"][0].as_str().unwrap().starts_with("interrupted after"));
    assert_eq!(json["checks"]["passed"], true, "{}", json["checks"]);
    let report = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("nterrupted"), "the report does not say so");
}

#[test]
fn requests_without_an_answer_when_a_run_is_interrupted_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let stall = Manner::Stall(20, Duration::from_mins(10));
    let _ = cut(stall, 22, folder.path(), &["--warmup=0s", "--connections=2"]);
    let json = valid(folder.path());
    assert!(json["interrupted"]["unfinished"].as_u64() > Some(0), "{}", json["interrupted"]);
    assert_eq!(json["statuses"], serde_json::json!({ "200": 20 }));
}

#[test]
fn an_interrupt_during_the_warm_up_says_that_nothing_was_measured() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("run");
    let output = cut(Manner::Delay(Duration::ZERO), 5, &folder, &["--warmup=3m"]);
    assert!(stderr(&output).contains("nothing was measured"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert!(!folder.exists());
}

#[test]
fn an_interrupted_run_prints_run_json_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--warmup=0s", "--json"];
    let output = cut(Manner::Delay(Duration::ZERO), 20, folder.path(), &args);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, valid(folder.path()));
}

#[test]
fn an_interrupt_ends_all_attempts_and_keeps_the_last_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let (address, server) = serve(Manner::Delay(Duration::ZERO));
    let target = format!("--target=http://{address}");
    let fixed = ["--attempts=3", "--slo=p99<1m", "--rate=50", "--arrivals=constant"];
    let lengths = ["--warmup=2s", "--duration=500ms", "--pacer-test=0s", "--quiet"];
    let out = ["--out", folder.path().to_str().unwrap(), &target];
    let child = begin("run", &[&fixed[..], &lengths, &out].concat());
    // The first attempt has 125 requests, and the warm-up of the second 100.
    let output = interrupted(child, || asked(&server) >= 130);
    let json = valid(folder.path());
    assert_eq!(json["interrupted"], Value::Null);
    assert_eq!(json["attempts"]["list"].as_array().unwrap().len(), 1, "{}", json["attempts"]);
    assert!(stdout(&output).contains("attempt   1 of 3: "), "{}", stdout(&output));
    assert!(!folder.path().join("next-attempt").exists());
}

#[test]
fn an_interrupted_search_prints_the_levels_so_far_and_leaves_no_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("found");
    let (address, server) = serve(Manner::Delay(Duration::ZERO));
    let target = format!("--target=http://{address}");
    let fixed = ["--find-max", "--slo=p50<1m", "--rate=50", "--duration=1s", "--warmup=0s"];
    let out = ["--out", folder.to_str().unwrap(), &target];
    let child = begin("run", &[&fixed[..], &out].concat());
    let output = interrupted(child, || asked(&server) >= 70);
    assert!(stderr(&output).contains("the search did not end"), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("verdict"), "{}", stdout(&output));
    assert!(!folder.exists());
}

#[test]
fn an_interrupted_comparison_says_that_nothing_is_compared() {
    let (address, server) = serve(Manner::Delay(Duration::ZERO));
    let target = format!("--target=http://{address}");
    let child = begin("compare", &[&target, &target, "--block=1m"]);
    let output = interrupted(child, || asked(&server) > 0);
    assert!(stderr(&output).contains("interrupted: nothing is compared"), "{}", stderr(&output));
}
