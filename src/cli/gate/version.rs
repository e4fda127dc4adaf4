//! The version of an executable, from its `--version`. An executable that is no mintbench may answer
//! with anything, at any length, or never.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::base::clock::Monotonic;
use crate::harness::machine::stop::Stop;

/// Answer of an executable.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: ExitStatus,
    /// Begin of the output, at most [`OUTPUT_BYTES_MAX`].
    pub(super) said: String,
}

/// Reasons why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum VersionError {
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Run(#[from] io::Error),
    #[error("its --version did not end within {} s", WITHIN.as_secs())]
    Slow,
}

/// Longest output that is read. A version is one line.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// Limit for the answer. It takes milliseconds, or seconds from a cold network drive.
const WITHIN: Duration = Duration::from_secs(10);
/// Interval of the checks for a request to stop.
const STOP_EVERY: Duration = Duration::from_millis(50);

/// Runs `program --version`.
///
/// # Errors
/// Returns [`VersionError`] when the program does not run, does not end in time, or the user stops it.
pub(super) fn ask(program: &Path, stop: &Stop) -> Result<Answer, VersionError> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // A group of its own, so that what the program has started ends with it.
    let mut child = command.process_group(0).spawn()?;
    let output = read(&mut child);
    let answer = answer(&mut child, &output, stop);
    if answer.is_err() {
        end(&mut child);
    }
    answer
}

/// Reads the output on a thread, which ends with the pipe.
fn read(child: &mut Child) -> Receiver<String> {
    let (done, output) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // An output that cannot be read to its end is not that of mintbench.
            let _ = stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
            let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    output
}

fn answer(
    child: &mut Child,
    output: &Receiver<String>,
    stop: &Stop,
) -> Result<Answer, VersionError> {
    let clock = Monotonic::start();
    let (mut said, mut status) = (None, None);
    loop {
        if stop.is_requested() {
            return Err(VersionError::Interrupted);
        }
        if Duration::from_nanos(clock.now_ns()) > WITHIN {
            return Err(VersionError::Slow);
        }
        match output.recv_timeout(STOP_EVERY) {
            Ok(text) => said = Some(text),
            Err(RecvTimeoutError::Timeout) => {}
            // The text was received: only the end of the process is left to wait for.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(STOP_EVERY),
        }
        status = status.or(child.try_wait()?);
        if let (Some(status), Some(said)) = (status, &said) {
            return Ok(Answer { status, said: said.clone() });
        }
    }
}

fn end(child: &mut Child) {
    // An error means that nothing of the group is left.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Asks a shell script for its version.
    fn asked(script: &str, stop: &Stop) -> Result<Answer, VersionError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        loop {
            match ask(&path, stop) {
                // Another test forked while the script was open, and has not yet executed.
                Err(VersionError::Run(error))
                    if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                answer => return answer,
            }
        }
    }

    #[test]
    fn a_program_answers_with_its_output_and_its_status() {
        let answer = asked("echo mintbench 1.2.3; exit 3", &Stop::default()).unwrap();
        assert_eq!((answer.said.as_str(), answer.status.code()), ("mintbench 1.2.3\n", Some(3)));
    }

    #[test]
    fn an_endless_output_is_cut() {
        let answer = asked("exec yes mintbench", &Stop::default()).unwrap();
        assert_eq!(answer.said.len() as u64, OUTPUT_BYTES_MAX);
        assert!(!answer.status.success());
    }

    #[test]
    fn a_program_that_waits_is_stopped_with_what_it_started() {
        let stop = Stop::default();
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| asked("sleep 1000", &stop));
            let _ = stop.request();
            assert!(matches!(asking.join().unwrap(), Err(VersionError::Interrupted)));
        });
    }
}
