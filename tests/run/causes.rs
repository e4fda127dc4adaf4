//! Causes of failed requests: servers that end, break or withhold their answers, and a generator
//! that runs out of files.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{Run, run, valid};

/// End of a connection.
#[derive(Clone, Copy)]
enum End {
    Close,
    /// The connection stays open without a further byte.
    Hold,
    Reset,
}

/// Starts a server that answers every request with these bytes, and then ends the connection.
fn serve(answer: &'static [u8], end: End) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if receive(&mut stream) && stream.write_all(answer).is_ok() {
                    finish(stream, end);
                }
            });
        }
    });
    authority
}

/// Reads a request without a body. Returns false if none comes.
fn receive(stream: &mut TcpStream) -> bool {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(count @ 1..) = stream.read(&mut piece) else { return false };
        request.extend_from_slice(&piece[..count]);
    }
    true
}

fn finish(mut stream: TcpStream, end: End) {
    match end {
        End::Close => {}
        End::Hold => drop(stream.read(&mut [0])),
        End::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
    }
}

/// Sends 25 requests, each on a connection that no other uses at the time.
fn ask(authority: &str, args: &[&str]) -> Run {
    let target = format!("get+http://{authority}");
    let fixed = ["--warmup=0s", "--rate=50", "--duration=500ms", "--arrivals=constant"];
    let more = ["--connections=32", "--max-errors=1"];
    run(&[&["--target", &target], &fixed[..], &more, args].concat())
}

const HALF_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Le";
const HALF_BODY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 812\r\n\r\n0123456789";

#[test]
fn an_answer_that_ends_early_says_how_and_where() {
    for (answer, end, cause) in [
        (&b""[..], End::Close, "closed after 0 bytes"),
        (HALF_HEAD, End::Close, "closed after 27 bytes"),
        (HALF_BODY, End::Close, "body: ends after 10 of 812 bytes"),
        (b"", End::Reset, "reset after 0 bytes"),
        (HALF_BODY, End::Reset, "reset after 50 bytes"),
        (b"HTTQ/1.1 200 OK\r\n\r\n", End::Hold, "status line: \"HTTQ/1.1 2..\""),
        (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", End::Hold, "header: malformed field"),
    ] {
        let lost = ask(&serve(answer, end), &[]);
        assert_eq!(lost.json["causes"], json!({ cause: 25 }), "{}", lost.stdout());
        assert!(lost.stdout().contains(&format!("causes    25 x {cause}")), "{}", lost.stdout());
    }
}

#[test]
fn a_timeout_says_what_was_waited_for() {
    for (answer, cause) in [
        (&b""[..], "timeout waiting for an answer"),
        (HALF_BODY, "timeout waiting for the rest of an answer"),
    ] {
        let lost = ask(&serve(answer, End::Hold), &["--timeout=200ms"]);
        assert_eq!(lost.json["causes"], json!({ cause: 25 }), "{}", lost.stdout());
        assert_eq!(lost.json["statuses"], json!({ "timeout": 25 }));
    }
}

#[test]
fn a_target_that_takes_no_connection_is_told_from_one_that_does_not_answer() {
    let authority = serve_one();
    let target = format!("get+http://{authority}");
    let load = ["--warmup=0s", "--rate=20", "--duration=500ms", "--arrivals=constant"];
    let more = ["--connections=1", "--timeout=2s", "--max-errors=1"];
    let lost = run(&[&["--target", &target], &load[..], &more].concat());
    assert_eq!(lost.json["statuses"], json!({ "200": 1, "timeout": 9 }), "{}", lost.stdout());
    let of = |cause: &str| lost.json["causes"][cause].as_u64().unwrap();
    let connecting = of("timeout waiting for a connection");
    assert!(connecting >= 1, "{}", lost.json["causes"]);
    assert_eq!(connecting + of("timeout waiting for a free connection"), 9);
}

/// Starts a server that answers one request, and whose queue of connections is full from then on.
fn serve_one() -> SocketAddr {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(receive(&mut stream));
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
        let waiting: Vec<TcpStream> = std::iter::from_fn(|| connect().ok()).collect();
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).unwrap();
        drop(stream);
        // Keeps the queue full until the test ends.
        std::thread::park();
        drop((listener, waiting));
    });
    address
}

#[test]
fn the_number_of_causes_is_bounded_and_the_table_shows_the_most_frequent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            std::thread::spawn(move || {
                if receive(&mut stream) {
                    drop(
                        stream.write_all("HTTP/1.1 200 OK".get(..=number % 15).unwrap().as_bytes()),
                    );
                }
            });
        }
    });
    let target = format!("get+http://{authority}");
    let load = ["--warmup=0s", "--rate=200", "--duration=500ms", "--arrivals=constant"];
    let more = ["--connections=1", "--max-errors=1"];
    let lost = run(&[&["--target", &target], &load[..], &more].concat());
    let causes = lost.json["causes"].as_object().unwrap();
    assert_eq!(causes.len(), 9, "{causes:?}");
    assert_eq!(causes.values().filter_map(Value::as_u64).sum::<u64>(), 100);
    assert!(causes["closed after other numbers of bytes"].as_u64() > Some(30), "{causes:?}");
    let shown = lost.stdout();
    let line = shown.lines().find(|line| line.starts_with("causes")).unwrap();
    assert_eq!(line.matches(" x ").count(), 7, "{line}");
    assert!(line.contains(" x other causes (see run.json)"), "{line}");
}

/// Starts a server that closes each connection after its answer, and counts its answers.
fn serve_counted() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let answers = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answers);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if receive(&mut stream) {
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                drop(stream.write_all(answer));
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (authority, answers)
}

#[test]
fn a_generator_without_files_blames_itself_and_names_the_remedy() {
    let (authority, answers) = serve_counted();
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mintbench"))
        .args(["run", "-q", "--target", &format!("get+http://{authority}"), "--pacer-test=0s"])
        .args(["--warmup=0s", "--rate=100", "--duration=3s", "--connections=1"])
        .arg("--out")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while answers.load(Ordering::SeqCst) < 20 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
        std::thread::sleep(Duration::from_millis(5));
    }
    let limit = |files| {
        let limit = Rlimit { current: Some(files), ..getrlimit(Resource::Nofile) };
        prlimit(Some(Pid::from_child(&child)), Resource::Nofile, limit).unwrap()
    };
    let before = limit(3);
    std::thread::sleep(Duration::from_millis(500));
    limit(before.current.unwrap());
    let output = child.wait_with_output().unwrap();
    let json = valid(folder.path());
    assert!(json["causes"]["open-file limit reached"].as_u64() > Some(0), "{}", json["causes"]);
    assert!(json["validity"]["reasons"].to_string().contains("ulimit -n"), "{json}");
    assert_eq!(json["checks"]["passed"], true, "{}", json["checks"]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stdout));
}
