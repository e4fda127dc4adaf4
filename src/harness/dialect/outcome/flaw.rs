//! Flaws of bytes that are not an answer.

use std::fmt;

use crate::harness::dialect::response::AnswerError;

/// Reason why bytes are not an answer of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// A chunk of the body is not framed as it should be.
    Chunk,
    /// The value of `Content-Length` is no number, or there are several that differ.
    ContentLength,
    /// A header field cannot be parsed.
    Header,
    /// There are too many header fields.
    HeaderCount,
    /// The head or the trailer is too long.
    HeadLength,
    /// Too many interim answers came first.
    Interim,
    /// The body is too long.
    BodyLength,
    /// The first line is not a status line of HTTP/1. Holds its beginning; none for a line beyond
    /// those that are told apart.
    StatusLine(Option<Excerpt>),
    /// The target switches to another protocol.
    Switched,
    /// The bytes answer no request.
    Unasked,
}

/// Number of bytes of a line that are shown. Enough to recognise a protocol, too few to give away a
/// credential.
const EXCERPT_BYTES: usize = 10;

/// Beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Excerpt {
    bytes: [u8; EXCERPT_BYTES],
    /// Number of bytes of the line; a longer one counts as one byte more than is shown.
    length: usize,
}

impl Excerpt {
    /// Returns the beginning of the first line of `input`.
    pub(super) fn of_line(input: &[u8]) -> Self {
        let line = input.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let mut bytes = [0; EXCERPT_BYTES];
        bytes.iter_mut().zip(line).for_each(|(shown, byte)| *shown = *byte);
        Self { bytes, length: line.len().min(EXCERPT_BYTES + 1) }
    }
}

impl fmt::Display for Excerpt {
    /// Formats the bytes as printable ASCII, and two points if there were more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.bytes.get(..self.length).unwrap_or(&self.bytes);
        let rest = if self.length > shown.len() { ".." } else { "" };
        write!(f, "\"{}{rest}\"", shown.escape_ascii())
    }
}

impl Flaw {
    /// Returns the flaw behind `error`, which parsing `input` gave.
    pub(super) fn of(error: &AnswerError, input: &[u8]) -> Self {
        match error {
            AnswerError::Chunk => Self::Chunk,
            AnswerError::HeadTooLong => Self::HeadLength,
            AnswerError::Interim => Self::Interim,
            AnswerError::Length => Self::ContentLength,
            AnswerError::Switched => Self::Switched,
            AnswerError::Syntax(httparse::Error::TooManyHeaders) => Self::HeaderCount,
            AnswerError::Syntax(
                httparse::Error::HeaderName
                | httparse::Error::HeaderValue
                | httparse::Error::NewLine,
            ) => Self::Header,
            AnswerError::Syntax(_) => Self::StatusLine(Some(Excerpt::of_line(input))),
            AnswerError::TooLong(_) => Self::BodyLength,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyLength => "body: too long",
            Self::Chunk => "body: malformed chunk",
            Self::ContentLength => "header: contradictory content-length",
            Self::Header => "header: malformed field",
            Self::HeaderCount => "header: too many fields",
            Self::HeadLength => "header: too long",
            Self::Interim => "too many interim answers",
            Self::StatusLine(Some(excerpt)) => return write!(f, "status line: {excerpt}"),
            Self::StatusLine(None) => "status line: other lines",
            Self::Switched => "status 101: another protocol",
            Self::Unasked => "answer without a request",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::dialect::response::{self, Rest};

    fn flaw(input: &[u8]) -> String {
        Flaw::of(&response::parse(input, Rest::Open).unwrap_err(), input).to_string()
    }

    #[test]
    fn what_is_no_answer_is_named_by_its_first_fault() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(65));
        for (input, expected) in [
            (&b"HTTQ/1.1 200 OK\r\n\r\n"[..], "status line: \"HTTQ/1.1 2..\""),
            (b"SSH-2.0-x\r\n", "status line: \"SSH-2.0-x\""),
            (b"HTTP/2.0 200\r\n\r\n", "status line: \"HTTP/2.0 2..\""),
            (b"\x15\x03\x01\x00\x02\x02\x50", "status line: \"\\x15\\x03\\x01\\x00\\x02\\x02P\""),
            (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "header: malformed field"),
            (many.as_bytes(), "header: too many fields"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                "header: contradictory content-length",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "body: too long"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
                "body: malformed chunk",
            ),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101: another protocol"),
        ] {
            assert_eq!(flaw(input), expected);
        }
    }

    #[test]
    fn a_long_line_shows_its_beginning_only() {
        let secret = Excerpt::of_line(b"eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9");
        assert_eq!(secret.to_string(), "\"eyJ0eXAiOi..\"");
        assert_eq!(Excerpt::of_line(b"0123456789").to_string(), "\"0123456789\"");
        assert_eq!(Excerpt::of_line(b"").to_string(), "\"\"");
        assert_eq!(Excerpt::of_line(b"a\"\x1b\xff").to_string(), "\"a\\\"\\x1b\\xff\"");
    }
}
