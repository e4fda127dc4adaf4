//! The output of an interrupted gate.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::MINTBENCH;

/// Settings like those of the other gates, but with more pairs than a test waits for.
const LONG: [&str; 7] = [
    "--rate=500",
    "--duration=300ms",
    "--warmup=200ms",
    "--vms=5",
    "--user-assigned=1",
    "--pairs=500",
    "--pairs-max=500",
];

#[test]
fn an_interrupted_gate_prints_its_pairs_and_no_verdict() {
    let mut command = Command::new(MINTBENCH);
    command.args(["gate", "--base", MINTBENCH]).args(LONG);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    // The second pair has begun, so one is complete. A pipe gets a line for each pair, with the
    // time left.
    while !said.contains("pair 2 of at most 500, about ") {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{said}");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    let known = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(known.starts_with("pairs measured: "), "{known} {said}");
    assert!(known.contains("memory: base ") || known.contains("memory is not judged"), "{known}");
    assert!(!known.contains("verdict   "), "{known}");
    assert!(said.contains("interrupted: there is no verdict"), "{said}");
}
