//! The judge of heads: which requests are plain enough to be answered without hyper.
//!
//! It accepts a subset of what hyper accepts, and reads it in the same way: the parser is the same. Everything
//! else is left to hyper, also what hyper refuses.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Version};

use super::heads::has_bare_line_feed;
use crate::base::http::message::{PLAIN_TARGET_BYTES_MAX, PlainRequest};

/// Most headers of a plain request. SDKs send fewer than 15.
pub(super) const HEADERS_MAX: usize = 32;

/// Start of every plain request.
const START: &[u8] = b"GET /";

/// Headers that a plain request does not have.
static FRAMING: [HeaderName; 4] = [CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE];

/// Result of reading a head.
#[derive(Debug)]
pub(super) enum Judged<'h, 'b> {
    /// A plain request.
    Plain(PlainRequest<'h, 'b>),
    /// The beginning of what may be a plain request.
    Incomplete,
    /// Anything else, which hyper judges.
    Other,
}

/// Reads the head at the start of `bytes`.
pub(super) fn judge<'h, 'b>(
    bytes: &'b [u8],
    headers: &'h mut [MaybeUninit<Header<'b>>],
) -> Judged<'h, 'b> {
    if !bytes.starts_with(START) {
        return if START.starts_with(bytes) { Judged::Incomplete } else { Judged::Other };
    }
    let mut request = Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, headers) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if !has_bare_line_feed(bytes) => return Judged::Incomplete,
        Ok(Status::Partial) | Err(_) => return Judged::Other,
    };
    let Request { method: Some("GET"), path: Some(target), version: Some(1), headers } = request
    else {
        return Judged::Other;
    };
    let headers: &'h [Header<'b>] = headers;
    let has_whole_lines = bytes.get(..len).is_some_and(|head| !has_bare_line_feed(head));
    match sole_host(headers) {
        Some(host) if has_whole_lines && target.len() <= PLAIN_TARGET_BYTES_MAX => {
            Judged::Plain(PlainRequest { target, host, headers, len })
        }
        _ => Judged::Other,
    }
}

/// Returns the single `Host`, unless another header changes the framing of the request or of its answer.
fn sole_host<'b>(headers: &[Header<'b>]) -> Option<&'b [u8]> {
    let (mut host, mut hosts) = (None, 0);
    for Header { name, value } in headers {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is("host") => {
                host = Some(*value);
                hosts += 1;
            }
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
            14 if is("content-length") => return None,
            17 if is("transfer-encoding") => return None,
            _ => {}
        }
    }
    host.filter(|_| hosts == 1)
}

/// Returns true if the judge takes the request for a plain one, as far as hyper still shows it. The length of the
/// head is unknown.
pub(super) fn is_plain<B>(request: &hyper::Request<B>) -> bool {
    let (target, headers) = (request.uri(), request.headers());
    let bytes = target.path_and_query().map_or(0, |target| target.as_str().len());
    let is_kept = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    *request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && target.authority().is_none()
        && target.path().starts_with('/')
        && bytes <= PLAIN_TARGET_BYTES_MAX
        && headers.len() <= HEADERS_MAX
        && headers.get_all(HOST).iter().count() == 1
        && headers.get_all(CONNECTION).iter().all(is_kept)
        && !FRAMING.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns `Some(target, host, length)` of a plain request, or `None` for one that hyper judges. Panics if
    /// the head is incomplete.
    fn read(head: &[u8]) -> Option<(String, Vec<u8>, usize)> {
        let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
        match judge(head, &mut headers) {
            Judged::Plain(request) => {
                Some((request.target.to_owned(), request.host.to_vec(), request.len))
            }
            Judged::Incomplete => panic!("incomplete: {}", head.escape_ascii()),
            Judged::Other => None,
        }
    }

    fn is_incomplete(head: &[u8]) -> bool {
        let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
        matches!(judge(head, &mut headers), Judged::Incomplete)
    }

    /// Returns the request as hyper shows it, if the parser accepts it.
    fn as_hyper(head: &[u8]) -> Option<hyper::Request<()>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = Request::new(&mut headers);
        let Ok(Status::Complete(_)) = request.parse(head) else { return None };
        let version = if request.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
        let line = hyper::Request::builder().method(request.method?).uri(request.path?);
        let of = |builder: hyper::http::request::Builder, header: &Header<'_>| {
            builder.header(header.name, header.value)
        };
        request.headers.iter().fold(line.version(version), of).body(()).ok()
    }

    const HEAD: &str = "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n";

    #[test]
    fn a_plain_request_is_read_up_to_its_end_and_every_shorter_piece_is_incomplete() {
        let twice = HEAD.repeat(2);
        for head in [HEAD, &twice] {
            let wanted = ("/a?b".to_owned(), b"127.0.0.1".to_vec(), HEAD.len());
            assert_eq!(read(head.as_bytes()), Some(wanted));
        }
        for len in 0..HEAD.len() {
            assert!(is_incomplete(&HEAD.as_bytes()[..len]), "{len}");
        }
    }

    #[test]
    fn headers_that_frame_nothing_may_vary() {
        for line in [
            "Connection: keep-alive",
            "CONNECTION: Keep-Alive",
            "Connection: keep-alive\r\nConnection: keep-alive",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Accept: */*",
            "x-ms-client-request-id: 8d6f4d0e-1111-4222-8333-444455556666",
            "X:",
            "X: \u{e9}",
            "Accept: a\r\nAccept: b",
            "Hosts: a",
            "User-Agent:\ttab and space \t",
        ] {
            let head = HEAD.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
            assert!(read(head.as_bytes()).is_some(), "{line}");
            assert!(is_plain(&as_hyper(head.as_bytes()).unwrap()), "{line}");
        }
    }

    #[test]
    fn everything_unusual_is_left_to_hyper() {
        let with = |line: &str| HEAD.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
        let of = |line: &str| HEAD.replace("GET /a?b HTTP/1.1", line);
        let many = (0..HEADERS_MAX).map(|number| format!("X-{number}: a"));
        for head in [
            with("Content-Length: 0"),
            with("content-length: 5") + "GET /",
            with("Transfer-Encoding: chunked") + "0\r\n\r\n",
            with("Expect: 100-continue"),
            with("Upgrade: h2c"),
            with("Connection: close"),
            with("Connection: upgrade"),
            with("Connection: keep-alive, close"),
            with("Connection: close, keep-alive"),
            with("Connection: keep-alive\r\nConnection: close"),
            with("Connection:"),
            with("Host: 127.0.0.1"),
            with("host: evil.example"),
            with(" folded: x"),
            with("X: a\r\n\tfolded"),
            with("X : a"),
            with("X\0: a"),
            with("X: a\0b"),
            with("X: a\nb: c"),
            with("no colon"),
            with(": no name"),
            with(&many.collect::<Vec<_>>().join("\r\n")),
            HEAD.replace("Host: 127.0.0.1\r\n", ""),
            HEAD.replacen("\r\n", "\n", 1),
            HEAD.replace("\r\n\r\n", "\r\n\n"),
            HEAD.replace("\r\n\r\n", "\n\n"),
            format!("\r\n{HEAD}"),
            of("GET /a?b HTTP/1.0"),
            of("GET /a?b HTTP/1.2"),
            of("GET /a?b HTTP/2.0"),
            of("GET /a?b"),
            of("GET  /a?b HTTP/1.1"),
            of("GET /a b HTTP/1.1"),
            of("GET http://127.0.0.1/a?b HTTP/1.1"),
            of("GET * HTTP/1.1"),
            of("get /a?b HTTP/1.1"),
            of("HEAD /a?b HTTP/1.1"),
            of("POST /a?b HTTP/1.1"),
            of("GETS /a?b HTTP/1.1"),
            of(&format!("GET /{} HTTP/1.1", "a".repeat(PLAIN_TARGET_BYTES_MAX))),
            of("GET\t/a?b HTTP/1.1"),
        ] {
            let head = head.as_bytes();
            assert_eq!(read(head), None, "{}", head.escape_ascii());
            // hyper does not show how lines end.
            let has_other_lines = has_bare_line_feed(head) || head.starts_with(b"\r\n");
            let shown = as_hyper(head).filter(|_| !has_other_lines);
            assert!(shown.is_none_or(|shown| !is_plain(&shown)), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_bare_line_feed_is_left_to_hyper_before_the_head_is_complete() {
        let bare = HEAD.replacen("\r\n", "\n", 1);
        let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
        assert!(matches!(judge(&bare.as_bytes()[..30], &mut headers), Judged::Other));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_judge_panic_or_read_beyond_them(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lines in "(GET / HTTP/1.1\r\n|Host: a\r\n|[ -~]{0,20}: [ -~]{0,20}\r\n|\r\n){0,8}",
        ) {
            for bytes in [bytes.as_slice(), lines.as_bytes()] {
                let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
                if let Judged::Plain(request) = judge(bytes, &mut headers) {
                    prop_assert!(request.len <= bytes.len());
                    prop_assert!(bytes[..request.len].ends_with(b"\r\n\r\n"));
                }
            }
        }
    }
}
