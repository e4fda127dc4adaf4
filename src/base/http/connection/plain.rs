//! The judge of heads: which requests are plain enough to be answered without hyper.
//!
//! It accepts a subset of what hyper accepts, and reads it in the same way: the parser is the same. Everything
//! else is left to hyper, also what hyper refuses.

use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use super::heads::has_bare_line_feed;
use crate::base::http::message::{HeaderSpan, Layout, PLAIN_TARGET_BYTES_MAX, Span};

/// Most headers of a plain request. SDKs send fewer than 15.
const HEADERS_MAX: usize = 32;

/// Start of every plain request.
const START: &[u8] = b"GET /";

/// Result of reading a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// A plain request.
    Plain,
    /// The beginning of what may be a plain request.
    Incomplete,
    /// A whole head that is not plain. Clients that send one send more of them.
    Odd,
    /// Anything else, which hyper judges.
    Other,
}

/// Reads the head at the start of `bytes`, and writes its layout if it is plain.
pub(super) fn judge(bytes: &[u8], layout: &mut Layout) -> Judged {
    if !bytes.starts_with(START) {
        return if START.starts_with(bytes) { Judged::Incomplete } else { Judged::Other };
    }
    let mut headers = [MaybeUninit::uninit(); HEADERS_MAX];
    let mut request = Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) if !has_bare_line_feed(bytes) => return Judged::Incomplete,
        Ok(Status::Partial) | Err(_) => return Judged::Other,
    };
    let head = bytes.get(..len).unwrap_or_default();
    if !has_bare_line_feed(head) && write_layout(&request, head, layout).is_some() {
        Judged::Plain
    } else {
        Judged::Odd
    }
}

/// Writes the layout of a head. Returns `None` if the request is not plain.
fn write_layout(request: &Request<'_, '_>, head: &[u8], layout: &mut Layout) -> Option<()> {
    let Request { method: Some("GET"), path: Some(target), version: Some(1), headers } = request
    else {
        return None;
    };
    if target.len() > PLAIN_TARGET_BYTES_MAX {
        return None;
    }
    let host = sole_host(headers)?;
    layout.target = Span::of(target.as_bytes(), head)?;
    layout.host = Span::of(host, head)?;
    layout.headers.clear();
    for Header { name, value } in headers.iter() {
        let (name, value) = (Span::of(name.as_bytes(), head)?, Span::of(value, head)?);
        layout.headers.push(HeaderSpan { name, value });
    }
    layout.len = head.len();
    Some(())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::http::message::PlainRequest;

    /// Returns `Some(target, host, length)` of a plain request, or `None` for one that hyper judges. Panics if
    /// the head is incomplete.
    fn read(head: &[u8]) -> Option<(String, Vec<u8>, usize)> {
        let mut layout = Layout::default();
        match judge(head, &mut layout) {
            Judged::Plain => {
                let request = PlainRequest::new(head, &layout);
                let target = String::from_utf8(request.target().to_vec()).unwrap();
                Some((target, request.host().to_vec(), layout.len))
            }
            Judged::Incomplete => panic!("incomplete: {}", head.escape_ascii()),
            Judged::Odd | Judged::Other => None,
        }
    }

    fn is_incomplete(head: &[u8]) -> bool {
        judge(head, &mut Layout::default()) == Judged::Incomplete
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
            assert_eq!(read(head.as_bytes()), None, "{}", head.escape_debug());
        }
    }

    #[test]
    fn a_whole_head_that_frames_something_is_told_from_what_the_parser_refuses() {
        let with = |line: &str| HEAD.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
        let judged = |head: &str| judge(head.as_bytes(), &mut Layout::default());
        for head in [with("Content-Length: 0"), with("Expect: 100-continue"), with("Host: a")] {
            assert_eq!(judged(&head), Judged::Odd, "{head}");
        }
        for head in [with("no colon"), format!("\r\n{HEAD}"), "POST / HTTP/1.1\r\n\r\n".to_owned()]
        {
            assert_eq!(judged(&head), Judged::Other, "{head}");
        }
    }

    #[test]
    fn a_bare_line_feed_is_left_to_hyper_before_the_head_is_complete() {
        let bare = HEAD.replacen("\r\n", "\n", 1);
        assert_eq!(judge(&bare.as_bytes()[..30], &mut Layout::default()), Judged::Other);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_judge_panic_or_read_beyond_them(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            lines in "(GET / HTTP/1.1\r\n|Host: a\r\n|[ -~]{0,20}: [ -~]{0,20}\r\n|\r\n){0,8}",
        ) {
            for bytes in [bytes.as_slice(), lines.as_bytes()] {
                let mut layout = Layout::default();
                if judge(bytes, &mut layout) == Judged::Plain {
                    prop_assert!(layout.len <= bytes.len());
                    prop_assert!(bytes[..layout.len].ends_with(b"\r\n\r\n"));
                }
            }
        }
    }
}
