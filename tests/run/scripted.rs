//! Small scripted servers: a test defines the answers byte by byte.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The request line without its line end.
    pub(crate) line: String,
    /// The header lines in order.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// The pieces of an answer, sent separately. Without any piece the server closes the connection.
pub(crate) type Pieces = Vec<Vec<u8>>;

/// A server on loopback with one thread per connection, and the requests that it received.
pub(crate) struct Scripted {
    pub(crate) authority: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Scripted {
    /// Answers each request with the result of `answer`. The connection ends after an HTTP/1.0
    /// answer or one with `Connection: close`.
    pub(crate) fn serve(answer: impl Fn(&Request) -> Pieces + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || converse(stream, &*answer, &log));
            }
        });
        Self { authority, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the number of requests that begin with `begin`.
    pub(crate) fn count(&self, begin: &str) -> u64 {
        self.asked().iter().filter(|request| request.line.starts_with(begin)).count() as u64
    }
}

fn converse(
    mut stream: TcpStream,
    answer: &(impl Fn(&Request) -> Pieces + ?Sized),
    log: &Mutex<Vec<Request>>,
) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = receive(&mut stream) {
        log.lock().unwrap().push(request.clone());
        let pieces = answer(&request);
        let closes = pieces.first().is_none_or(|piece| {
            let head = String::from_utf8_lossy(piece).to_lowercase();
            head.starts_with("http/1.0") || head.contains("connection: close")
        });
        for piece in pieces {
            if stream.write_all(&piece).is_err() {
                return;
            }
            // Helps the pieces to arrive separately; nothing depends on it.
            std::thread::yield_now();
        }
        if closes {
            return;
        }
    }
}

fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut input = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        input.extend_from_slice(&piece[..count]);
        let text = String::from_utf8(input.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.split("\r\n").map(str::to_owned);
        let line = lines.next().unwrap();
        let headers: Vec<String> = lines.collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        assert!(body.len() <= length, "more than one request at a time: {text}");
        if body.len() == length {
            return Some(Request { line, headers, body: body.to_owned() });
        }
    }
}

/// Returns a complete answer of known length.
pub(crate) fn whole(status: &str, body: &str) -> Pieces {
    let length = body.len();
    vec![format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()]
}
