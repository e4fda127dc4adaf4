//! The progress of a run: for Prometheus, on a pipe, on a terminal.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Manner, serve};

/// The samples of a scrape, by name and labels.
type Samples = BTreeMap<String, f64>;

fn scrape(address: &str) -> Samples {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    samples.collect()
}

fn begin(args: &[&str], folder: &tempfile::TempDir) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["run", "--rate=100", "--duration=3m", "--warmup=0s", "--pacer-test=0s"]);
    command.args(args).arg("--out").arg(folder.path().join("run"));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn interrupt(child: &mut Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

const REQUESTS: &str = "mintbench_run_requests_total{status=\"200\"}";

fn await_more_than(count: f64, address: &str) -> Samples {
    let clock = Monotonic::start();
    loop {
        let samples = scrape(address);
        if samples.get(REQUESTS).is_some_and(|found| *found > count) {
            return samples;
        }
        assert!(clock.now_ns() < 60_000_000_000, "no more than {count} within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_in_progress_is_scraped_and_its_counters_rise() {
    let (target, _server) = serve(Manner::Delay(Duration::ZERO));
    let (target, folder) = (format!("http://{target}"), tempfile::tempdir().unwrap());
    let args = ["--target", &target, "--metrics=127.0.0.1:0", "--quiet"];
    let mut child = begin(&args, &folder);
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let first = await_more_than(0.0, address);
    let later = await_more_than(first[REQUESTS], address);
    for kind in ["response", "service", "lag"] {
        let count = format!("mintbench_run_{kind}_seconds_count{{class=\"all\"}}");
        let whole = format!("mintbench_run_{kind}_seconds_bucket{{le=\"+Inf\",class=\"all\"}}");
        assert!(later[&count] > first[&count], "{later:?}");
        assert!((later[&whole] - later[&count]).abs() < 0.5, "{later:?}");
    }
    assert!((later["mintbench_run_rate_target"] - 100.0).abs() < 1e-9);
    assert!(later["mintbench_run_elapsed_seconds"] > 0.0);
    assert!(later.contains_key("mintbench_run_on_time"));
    interrupt(&mut child);
}

#[test]
fn on_a_pipe_a_run_says_how_it_goes_in_lines_and_nothing_when_quiet() {
    let (target, _server) = serve(Manner::Delay(Duration::ZERO));
    let (target, folder) = (format!("http://{target}"), tempfile::tempdir().unwrap());
    let mut child = begin(&["--target", &target], &folder);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("measuring  ")).unwrap();
    assert!(line.contains("of 100 requests/s  p50 "), "{line}");
    assert!(!line.contains('\x1b'), "{line:?}");
    interrupt(&mut child);

    let quiet = crate::mintbench(&[
        "--target",
        &target,
        "--rate=50",
        "--duration=500ms",
        "--warmup=0s",
        "--quiet",
        "--out",
        folder.path().join("quiet").to_str().unwrap(),
    ]);
    assert!(quiet.stderr.is_empty(), "{}", String::from_utf8_lossy(&quiet.stderr));
}

/// A script that runs a program on its own terminal, and ends it with Ctrl-C after it has drawn
/// twice.
const ON_A_TERMINAL: &str = r"
import os, pty, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.environ['TERM'] = 'xterm'
    os.execv(sys.argv[1], sys.argv[1:])
import fcntl, struct
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 100, 0, 0))
before, seen, asked = termios.tcgetattr(terminal), b'', False
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if not asked and seen.count(b'lag p99') >= 2:
        assert termios.tcgetattr(terminal) == before, 'the terminal was changed'
        os.write(terminal, b'\x03')
        asked = True
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status))
";

#[test]
fn on_a_terminal_a_view_is_drawn_in_place_and_gives_way_to_the_table_at_an_interrupt() {
    let (target, _server) = serve(Manner::Delay(Duration::ZERO));
    let (target, folder) = (format!("http://{target}"), tempfile::tempdir().unwrap());
    let out = folder.path().join("run");
    let output = Command::new("python3")
        .args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_mintbench"), "run", "--target", &target])
        .args(["--rate=100", "--duration=3m", "--warmup=0s", "--pacer-test=0s", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains("of 100/s"), "{seen:?}");
    // The program uses no alternate screen and hides no cursor, and it erases its drawing.
    assert!(!seen.contains("\x1b[?"), "{seen:?}");
    let (_, last) = seen.rsplit_once("\x1b[2K").unwrap();
    assert!(last.contains("PARTIAL   interrupted after"), "{last}");
    // The way back to the first line of the drawing takes no room on the screen.
    let moved = last.strip_prefix("\x1b[").and_then(|rest| rest.split_once('A'));
    let last = moved.map_or(last, |(_, text)| text);
    // Lines with paths are not wrapped.
    let lines = last.lines().filter(|line| !line.contains(folder.path().to_str().unwrap()));
    lines.for_each(|line| assert!(line.chars().count() <= 80, "{line}"));
}
