//! Pipes in place of files.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::scripted::{Scripted, whole};

fn run(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.arg("run").args(args).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Waits until a thread of the process waits for the writer of a pipe.
fn await_reader(child: &Child) {
    let clock = Monotonic::start();
    let tasks = format!("/proc/{}/task", child.id());
    while std::fs::read_dir(&tasks).unwrap().count() < 2 {
        assert!(clock.now_ns() < 30_000_000_000, "nobody opened the pipe within 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_a_run_that_waits_for_the_writer_of_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (body, header) =
        (format!("--body-file={}", pipe.display()), format!("@{}", pipe.display()));
    for args in [&["http://127.0.0.1:1", body.as_str()][..], &["http://127.0.0.1:1", "-H", &header]]
    {
        for signal in [Signal::INT, Signal::TERM] {
            let out = folder.path().join("out");
            let child = run(args).arg("--out").arg(&out).spawn().unwrap();
            await_reader(&child);
            kill_process(Pid::from_child(&child), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.signal(), Some(signal.as_raw()), "{output:?}");
            assert!(!out.exists(), "a folder is left");
        }
    }
}

#[test]
fn a_body_may_come_from_a_pipe() {
    let server = Scripted::serve(|_| whole("200 OK", "x"));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}/", server.authority);
    let fixed = ["--body-file=/dev/stdin", "--warmup=0s", "--rate=50", "--duration=500ms"];
    let mut command = run(&[&[url.as_str()], &fixed[..]].concat());
    command.arg("--out").arg(folder.path().join("out")).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    let output = child.wait_with_output().unwrap();
    let asked = server.asked();
    assert!(!asked.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(asked.iter().all(|request| request.body == "from a pipe"), "{:?}", asked.first());
}
