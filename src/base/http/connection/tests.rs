//! The two ways of a connection: with the reader of plain requests in front of hyper, and through hyper alone.
//!
//! For any requests that leave the connection open, split anywhere and sent through any pipe, both ways give the
//! same bytes. The first way gives the connection to hyper and takes it back as ADR 29 says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::base::http::limits::{ConnectionLimiter, ConnectionLimits, UnsentBudget};
use crate::base::http::message::{Payload, PlainRequest, read_body};
use crate::base::http::surface::{Peer, PlainAnswer, Scheme, Shutdown, Surface};

const TOKEN: HeaderName = HeaderName::from_static("x-token");

/// `Date` of the reader, as long as that of hyper.
const READER_DATE: &str = "-----------------------------";

const DATE: &str = "\r\ndate: ";

/// End of every answer.
const END: &str = "END.";

/// The deadline of every wait.
const DEADLINE: Duration = Duration::from_secs(30);

/// Kinds of requests, as the first segment of their target: hits, misses, refusals, slow refusals, requests with
/// a body, and hits that only hyper reads.
const KINDS: [char; 8] = ['h', 'h', 'h', 'm', 'r', 's', 'b', 'o'];

fn text(kind: char, number: usize) -> String {
    let (method, more) = match kind {
        'b' => ("POST", "Content-Length: 7\r\n\r\nGET /h/"),
        'o' => ("GET", "Content-Length: 0\r\n\r\n"),
        _ => ("GET", "\r\n"),
    };
    format!("{method} /{kind}/{number} HTTP/1.1\r\nHost: a\r\n{more}")
}

fn texts(kinds: &[char]) -> Vec<u8> {
    let texts = kinds.iter().enumerate().map(|(number, kind)| text(*kind, number));
    texts.collect::<String>().into_bytes()
}

/// Ways to serve a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Hyper,
    Reader,
}

/// A surface whose answers repeat the target.
struct Echo(Way);

impl Surface for Echo {
    type Caller = ();

    fn name(&self) -> &'static str {
        "echo"
    }

    fn caller(&self, _: &Peer) {}

    async fn respond(&self, (): &(), request: Request<Incoming>) -> Response<Payload> {
        let target = request.uri().path().to_owned();
        let kind = target.as_bytes()[1];
        if kind == b'b' {
            assert_eq!(read_body(request.into_body(), 100).await.unwrap(), "GET /h/");
        }
        if matches!(kind, b'm' | b's') {
            pause().await;
        }
        if matches!(kind, b'h' | b'm' | b'o') {
            let mut response = Response::new(Payload::from(format!("{target} {END}")).plain());
            response.headers_mut().insert(TOKEN, HeaderValue::from_static("1"));
            return response;
        }
        refusal(&target)
    }

    fn answers_plain(&self) -> bool {
        self.0 == Way::Reader
    }

    fn answer_plain<'a>(
        &'a self,
        (): &'a (),
        request: &PlainRequest<'_>,
        answer: &mut Vec<u8>,
    ) -> PlainAnswer<'a> {
        let target = str::from_utf8(request.target()).unwrap().to_owned();
        let len = target.len() + 1 + END.len();
        let head = format!("HTTP/1.1 200 OK\r\n{TOKEN}: 1\r\ncontent-length: {len}");
        let all = format!("{head}{DATE}{READER_DATE}\r\n\r\n{target} {END}");
        match target.as_bytes()[1] {
            b'h' => answer.extend_from_slice(all.as_bytes()),
            b'm' => {
                return PlainAnswer::Later(Box::pin(async move {
                    pause().await;
                    Ok(all.into_bytes())
                }));
            }
            b's' => {
                return PlainAnswer::Later(Box::pin(async move {
                    pause().await;
                    Err(Box::new(refusal(&target)))
                }));
            }
            _ => return PlainAnswer::Left,
        }
        PlainAnswer::Appended
    }
}

/// Waits for a few turns of the runtime.
async fn pause() {
    for _ in 0..3 {
        yield_now().await;
    }
}

fn refusal(target: &str) -> Response<Payload> {
    let mut response = Response::new(Payload::from(format!("{target} {END}")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

async fn serve(stream: DuplexStream, way: Way, shutdown: Shutdown) {
    let addr = SocketAddr::from(([127, 0, 0, 1], 50_000));
    let limits = ConnectionLimits { max: 1, per_caller: 1, unsent_bytes: 1_000_000 };
    let limiter = ConnectionLimiter::new(limits);
    let slot = limiter.admit(addr.ip(), &limiter.tally("echo")).unwrap().slot;
    let budget = UnsentBudget::new(limits.unsent_bytes).budget(addr.ip());
    let peer = Peer { addr, scheme: Scheme::Http };
    let connection = Connection { stream, peer, slot, budget, reset: |_| {} };
    connection.serve_begun(Arc::new(Echo(way)), shutdown).await;
}

/// Sends `pieces` with `count` requests one after the other through a pipe of `pipe_bytes`, and returns all that
/// comes back.
async fn exchange(way: Way, pieces: Vec<Vec<u8>>, count: usize, pipe_bytes: usize) -> String {
    let (client, server) = duplex(pipe_bytes);
    let (_stop, shutdown) = watch::channel(false);
    let task = tokio::spawn(serve(server, way, shutdown));
    let (mut from, mut to) = tokio::io::split(client);
    let sent = tokio::spawn(async move {
        for piece in pieces {
            to.write_all(&piece).await.unwrap();
            for _ in 0..5 {
                yield_now().await;
            }
        }
        to
    });
    let mut bytes = Vec::new();
    while memchr::memmem::find_iter(&bytes, END).count() < count {
        let more = timeout(DEADLINE, from.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(more > 0, "closed after: {}", bytes.escape_ascii());
    }
    sent.await.unwrap().shutdown().await.unwrap();
    timeout(DEADLINE, from.read_to_end(&mut bytes)).await.unwrap().unwrap();
    timeout(DEADLINE, task).await.unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Returns the answers with equal dates, and the way of each answer.
fn told(answers: &str) -> (String, Vec<Way>) {
    let mut parts = answers.split(DATE);
    let mut same = parts.next().unwrap_or_default().to_owned();
    let mut ways = Vec::new();
    for part in parts {
        let (date, rest) = part.split_at(READER_DATE.len());
        ways.push(if date == READER_DATE { Way::Reader } else { Way::Hyper });
        same += rest;
    }
    (same, ways)
}

/// Returns the way of each answer by the rules of ADR 29 and 36.
fn ways(kinds: &[char]) -> Vec<Way> {
    let (mut holder, mut is_kept) = (Way::Reader, false);
    let mut ways = Vec::new();
    for kind in kinds {
        ways.push(if matches!(kind, 'h' | 'm') { holder } else { Way::Hyper });
        is_kept |= *kind == 'b' || *kind == 'o' && holder == Way::Reader;
        let is_over = matches!(kind, 'h' | 'm' | 'o') && !is_kept;
        holder = if is_over { Way::Reader } else { Way::Hyper };
    }
    ways
}

fn cut(bytes: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn both_ways_answer_any_requests_with_the_same_bytes(
        kinds in proptest::collection::vec(select(KINDS.to_vec()), 1..20),
        places in proptest::collection::vec(any::<usize>(), 0..8),
        pipe_bytes in select(vec![7, 300, 100_000]),
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let pieces = cut(&texts(&kinds), &places);
        let [reader, hyper] = [Way::Reader, Way::Hyper].map(|way| {
            told(&runtime.block_on(exchange(way, pieces.clone(), kinds.len(), pipe_bytes)))
        });
        prop_assert_eq!(&reader.0, &hyper.0);
        prop_assert_eq!(reader.1, ways(&kinds));
        prop_assert!(hyper.1.iter().all(|way| *way == Way::Hyper));
    }
}

#[tokio::test]
async fn requests_that_have_arrived_when_the_process_stops_are_answered() {
    let kinds = ['h', 'r', 'r', 'h', 'r', 'h', 'h', 'o', 'h', 'r'];
    let mut seen = Vec::new();
    for way in [Way::Reader, Way::Hyper] {
        let (mut client, server) = duplex(100_000);
        let (stop, shutdown) = watch::channel(false);
        client.write_all(&texts(&kinds)).await.unwrap();
        stop.send_replace(true);
        let task = tokio::spawn(serve(server, way, shutdown));
        let mut bytes = String::new();
        timeout(DEADLINE, client.read_to_string(&mut bytes)).await.unwrap().unwrap();
        timeout(DEADLINE, task).await.unwrap().unwrap();
        assert_eq!(bytes.matches(END).count(), kinds.len(), "{way:?}: {bytes}");
        seen.push(told(&bytes).0);
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_connection_that_hyper_closes_during_a_turn_is_closed() {
    for last in ["GET /h/9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "no request\r\n\r\n"]
    {
        for before in [&['h'][..], &['r'], &['r', 'h'], &['m', 'm']] {
            let mut seen = Vec::new();
            for way in [Way::Reader, Way::Hyper] {
                let (mut client, server) = duplex(100_000);
                let (_stop, shutdown) = watch::channel(false);
                let task = tokio::spawn(serve(server, way, shutdown));
                let sent = [texts(before), last.as_bytes().to_vec(), texts(&['h'])].concat();
                client.write_all(&sent).await.unwrap();
                let mut bytes = String::new();
                timeout(DEADLINE, client.read_to_string(&mut bytes)).await.unwrap().unwrap();
                timeout(DEADLINE, task).await.unwrap().unwrap();
                assert!(bytes.starts_with("HTTP/1.1 "), "{way:?}: {bytes}");
                seen.push(told(&bytes).0);
            }
            assert_eq!(seen[0], seen[1], "{before:?} {last:?}");
        }
    }
}
