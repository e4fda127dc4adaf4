//! Lines of `serve` for people, on a terminal and only there.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Connection, mintbench, poll};

/// A script that runs a program on a terminal of its own, and shows what it prints.
const ON_A_TERMINAL: &str = r"
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

/// A `mintbench serve` on a terminal; ended when dropped.
struct OnTerminal {
    process: Child,
    lines: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl OnTerminal {
    fn serve(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_mintbench"), "serve"]).args(flags);
        for surface in ["--imds", "--sts", "--arm", "--vault", "--admin"] {
            command.args([surface, "127.0.0.1:0"]);
        }
        command.env("TMPDIR", folder.path()).env_remove("XDG_RUNTIME_DIR");
        command.current_dir(folder.path()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines, folder }
    }

    /// Returns the next line without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the server ended");
        line.trim_end().to_owned()
    }

    /// Returns the URL of the identity endpoint and the five lines below `ready`.
    fn hints(&mut self) -> (String, Vec<String>) {
        let first = self.line();
        let imds = first.strip_prefix("imds ").unwrap_or_else(|| panic!("{first}")).to_owned();
        while self.line() != "ready" {}
        (imds, (0..5).map(|_| self.line()).collect())
    }

    /// Runs a line as a person pastes it, in another folder, with the program under test as `mintbench`.
    fn paste(&self, line: &str) -> String {
        let programs = self.folder.path().join("programs");
        if !programs.exists() {
            std::fs::create_dir(&programs).unwrap();
            let own = programs.join("mintbench");
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mintbench"), own).unwrap();
        }
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-c", line]).env("PATH", path).env("TMPDIR", self.folder.path());
        let output = command.env_remove("XDG_RUNTIME_DIR").current_dir(programs).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

#[test]
fn on_a_terminal_a_line_for_a_token_and_one_for_sdks_can_be_pasted() {
    for flags in [&[][..], &["--data", "my data"]] {
        let mut server = OnTerminal::serve(flags);
        let (imds, hints) = server.hints();
        let [empty, _, token, _, sdk] = hints.as_slice() else { panic!("{hints:?}") };
        assert_eq!(empty, "");
        // The words of the command, as the shell gives them to curl.
        let words = server.paste(&format!("set -- {token}; printf '%s\\n' \"$@\""));
        let ["curl", "-H", "Metadata: true", url] = words.lines().collect::<Vec<_>>()[..] else {
            panic!("{words}")
        };
        let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut connection = Connection::open(TcpStream::connect(address).unwrap());
        assert_eq!(connection.get(&format!("/{path}")).status, 200, "{url}");
        let shown = server.paste(&format!("{sdk}; echo \"$AZURE_POD_IDENTITY_AUTHORITY_HOST\""));
        assert_eq!(shown.trim_end(), imds, "{sdk}");
    }
}

#[test]
fn a_program_that_reads_gets_nothing_after_ready() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut command = mintbench();
    command.arg("serve").env("TMPDIR", folder.path());
    for surface in ["--imds", "--sts", "--arm", "--vault", "--admin"] {
        command.args([surface, "127.0.0.1:0"]);
    }
    let mut process = command.stdout(File::create(&out).unwrap()).spawn().unwrap();
    let printed = || std::fs::read_to_string(&out).unwrap();
    poll(|| printed().contains("\nready\n").then_some(()));
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert!(printed().ends_with("\nready\n"), "{}", printed());
}
