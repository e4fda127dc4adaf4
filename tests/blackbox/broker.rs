//! A broker process, and a small HTTP client for it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The deadline of every wait. Nothing here takes that long, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Calls `probe` until it returns a value.
pub(crate) fn poll<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let stopwatch = Monotonic::start();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(u128::from(stopwatch.now_ns()) < DEADLINE.as_nanos(), "nothing came in time");
        // The broker may need the core.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the log has this text, and returns it. A server writes its log a moment after it has answered.
pub(crate) fn log_with(path: &Path, text: &str) -> String {
    poll(|| std::fs::read_to_string(path).ok().filter(|log| log.contains(text)))
}

/// The variable with which `.ci/run test` runs the tests of the identity endpoint a second time, with hyper alone.
const HYPER_ONLY: &str = "MINTBENCH_SERVE_HYPER_ONLY";

/// Returns the command under test.
pub(crate) fn mintbench() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.env_clear();
    if let Some(value) = std::env::var_os(HYPER_ONLY) {
        command.env(HYPER_ONLY, value);
    }
    command
}

/// A `mintbench serve` process on free ports; killed when dropped.
pub(crate) struct Broker {
    process: Child,
    endpoints: HashMap<String, SocketAddr>,
    /// The file that holds the secret of the admin endpoint.
    pub(crate) admin_secret: PathBuf,
    /// The value of `IDENTITY_HEADER`, if the broker printed one.
    pub(crate) identity_header: Option<String>,
    /// The folder of the process for temporary files, which a killed process leaves behind.
    pub(crate) temporary: TempDir,
}

impl Broker {
    /// Starts a broker with these flags and waits until it is ready.
    pub(crate) fn serve(flags: &[&str]) -> Self {
        Self::serve_with(flags, |_| {})
    }

    pub(crate) fn serve_with(flags: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = mintbench();
        command.arg("serve");
        for surface in ["--imds", "--sts", "--arm", "--vault", "--admin"] {
            if !flags.contains(&surface) {
                command.args([surface, "127.0.0.1:0"]);
            }
        }
        let temporary = tempfile::tempdir().unwrap();
        command.args(flags).env("TMPDIR", temporary.path()).stdout(Stdio::piped());
        prepare(&mut command);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let (mut endpoints, mut admin_secret) = (HashMap::new(), PathBuf::new());
        let mut identity_header = None;
        for line in lines.take_while(|line| line != "ready") {
            match line.split_once(' ') {
                Some(("admin-secret", path)) => admin_secret = path.into(),
                Some(("app-service-header", secret)) => identity_header = Some(secret.to_owned()),
                _ => endpoints.extend([endpoint(&line)]),
            }
        }
        Self { process, endpoints, admin_secret, identity_header, temporary }
    }

    pub(crate) fn address(&self, surface: &str) -> SocketAddr {
        self.endpoints[surface]
    }

    pub(crate) fn connect(&self, surface: &str) -> Connection {
        Connection::open(TcpStream::connect(self.address(surface)).unwrap())
    }

    /// Connects from the address `source`, as the VM with that address would.
    pub(crate) fn connect_from(&self, source: IpAddr) -> Connection {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&self.address("imds").into()).unwrap();
        Connection::open(socket.into())
    }

    /// Sends a GET to the identity endpoint, with its required header.
    pub(crate) fn imds(&self, target: &str) -> Answer {
        self.connect("imds").get(target)
    }

    /// Sends a request to the token route with an api-version and the rest of the query.
    pub(crate) fn token(&self, query: &str) -> Answer {
        self.imds(&token_target(query))
    }

    /// Makes a change at the admin endpoint, with its secret.
    pub(crate) fn post_admin(&self, path: &str) -> Answer {
        self.ask_admin("POST", path, "")
    }

    /// Sends a request to the admin endpoint, with its secret.
    pub(crate) fn ask_admin(&self, method: &str, path: &str, body: &str) -> Answer {
        let secret = std::fs::read_to_string(&self.admin_secret).unwrap();
        let (secret, length) = (secret.trim(), body.len());
        let mut admin = self.connect("admin");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        admin.send(head.as_bytes());
        admin.read().unwrap()
    }

    /// Runs a command of mintbench as the user of this broker, in an empty folder.
    pub(crate) fn client(&self, args: &[&str]) -> Output {
        let mut command = mintbench();
        command.args(args).env("TMPDIR", self.temporary.path());
        command.current_dir(self.temporary.path()).output().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the value of one metric.
    pub(crate) fn metric<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        let text = self.connect("admin").get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
    }

    /// Limits the size of the files that the process writes, in bytes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        let process = Pid::from_child(&self.process);
        rustix::process::prlimit(Some(process), rustix::process::Resource::Fsize, limit).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn endpoint(line: &str) -> (String, SocketAddr) {
    let (name, url) = line.split_once(' ').unwrap_or_else(|| panic!("no endpoint line: {line}"));
    let (_, rest) = url.split_once("://").unwrap();
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let expected = if name == "app-service" { "msi/token" } else { "" };
    assert_eq!(path, expected, "{line}");
    (name.to_owned(), address.parse().unwrap())
}

pub(crate) fn token_target(query: &str) -> String {
    format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{query}")
}

/// A keep-alive connection.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(
            format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n")
                .as_bytes(),
        );
        self.read().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // Some tests look for a peer that has already refused the request and closed the
        // connection.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Reads the next answer. Returns `None` if the peer closes without one.
    pub(crate) fn read(&mut self) -> Option<Answer> {
        let mut answer = self.read_head()?;
        let length =
            answer.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = vec![0; length];
        self.0.read_exact(&mut answer.body).ok()?;
        Some(answer)
    }

    /// Reads the next answer, which must be whole if it has begun. Returns `None` if the connection ends before
    /// its first byte: then a client may send the request again (RFC 9112 section 9.3.1).
    pub(crate) fn read_whole(&mut self) -> Option<Answer> {
        let first = self.0.fill_buf();
        let silent = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!first.as_ref().is_err_and(silent), "neither an answer nor the end came in time");
        let has_begun = first.is_ok_and(|first| !first.is_empty());
        has_begun
            .then(|| self.read().unwrap_or_else(|| panic!("the connection ended within an answer")))
    }

    /// Reads the next answer without its body.
    pub(crate) fn read_head(&mut self) -> Option<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1)?.parse().unwrap();
        let mut headers = HashMap::new();
        while let Some((name, value)) = self.line()?.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Some(Answer { status, headers, body: Vec::new() })
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        let silent = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!read.as_ref().is_err_and(silent), "neither an answer nor the end came in time");
        let length = read.ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
