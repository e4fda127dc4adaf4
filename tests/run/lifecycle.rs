//! Early ends of a run: it was interrupted, or its broker died.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use rustix::process::{Pid, Signal, kill_process};

/// Starts a long run and waits until its first interval is written.
fn begin(folder: &Path, args: &[&str]) -> Child {
    begin_in(&std::env::temp_dir(), folder, args)
}

/// Starts the same run with this folder for temporary files.
fn begin_in(temporary: &Path, folder: &Path, args: &[&str]) -> Child {
    let out = folder.to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["run", "--rate=100", "--duration=3m", "--warmup=0s", "--out", out]).args(args);
    command.env("TMPDIR", temporary);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = folder.join("response.hlog");
    let clock = Monotonic::start();
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("Tag=") {
        assert!(clock.now_ns() < 60_000_000_000, "no interval within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits for the broker that a run starts, and returns its process id.
fn child_of(pid: u32) -> u32 {
    let clock = Monotonic::start();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        if let Some(child) = children.split_whitespace().next() {
            return child.parse().unwrap();
        }
        assert!(clock.now_ns() < 60_000_000_000, "no broker within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupt_ends_the_run_and_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = begin(folder.path(), &["--vms=5", "--alg=ES256"]);
    let broker = child_of(child.id());
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!Path::new(&format!("/proc/{broker}")).exists());
    assert!(folder.path().join("response.hlog").exists());
}

/// Returns true if a process has ended, even if nobody has asked for its exit status.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn a_run_that_is_killed_leaves_no_broker_and_no_folder_of_its_broker() {
    let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let left = || std::fs::read_dir(temporary.path()).unwrap().count();
    let mut child = begin_in(temporary.path(), folder.path(), &["--vms=5", "--alg=ES256"]);
    let broker = child_of(child.id());
    assert!(!has_ended(broker) && left() > 0);
    signal(child.id(), Signal::KILL);
    child.wait().unwrap();
    let clock = Monotonic::start();
    while !has_ended(broker) || left() > 0 {
        assert!(clock.now_ns() < 60_000_000_000, "after a minute {} files are left", left());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_broker_that_dies_fails_the_run_and_keeps_the_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let child = begin(folder.path(), &["--vms=5", "--alg=ES256"]);
    signal(child_of(child.id()), Signal::KILL);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the broker ended during the run"), "{stderr}");
    assert!(stderr.contains("draw them with `mintbench report "), "{stderr}");
    assert!(folder.path().join("response.hlog").exists());
}

#[test]
fn an_interrupt_while_the_broker_starts_ends_both() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["run", "--vms=300000", "--out"]).arg(&out);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let broker = child_of(child.id());
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!Path::new(&format!("/proc/{broker}")).exists());
    assert!(!out.exists());
}
