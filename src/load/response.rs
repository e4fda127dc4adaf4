//! The least HTTP response reader that a timed loop needs.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::class::Class;

/// More headers than any token endpoint sends.
const HEADERS_MAX: usize = 64;
/// A token answer is 2 KB; this bounds what one connection may hold.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// A head that has not ended by here is not one.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// A whole answer at the start of the bytes read so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the broker says it did, from `x-mintbench-cache`.
    pub(super) cache: Option<Class>,
    pub(super) body: Range<usize>,
    /// Whether the connection can take another request.
    pub(super) keep_alive: bool,
}

/// Why bytes are not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("the answer is not HTTP/1: {0}")]
    Syntax(httparse::Error),
    #[error("the answer has no content-length; chunked answers are not supported here")]
    NoLength,
    #[error("the head of the answer exceeds {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the answer announces {0} bytes; at most {BODY_BYTES_MAX} are accepted")]
    TooLong(u64),
}

/// The answer in `input`, `None` while it is incomplete.
///
/// # Errors
/// [`AnswerError`] when no further bytes can make it an answer.
pub(super) fn parse(input: &[u8]) -> Result<Option<Answer>, AnswerError> {
    // Uninitialised: clearing 64 headers costs more than reading the five of an answer.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut head,
        input,
        &mut headers,
    );
    let start = match parsed.map_err(AnswerError::Syntax)? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial if input.len() > HEAD_BYTES_MAX => {
            return Err(AnswerError::HeadTooLong);
        }
        httparse::Status::Partial => return Ok(None),
    };
    let fields = Fields::of(head.headers);
    let length = fields.length.ok_or(AnswerError::NoLength)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= BODY_BYTES_MAX)
        .ok_or(AnswerError::TooLong(length))?;
    let body = start..start.saturating_add(length);
    let answer = Answer {
        status: head.code.unwrap_or_default(),
        cache: fields.cache,
        keep_alive: fields.keep_alive.unwrap_or(head.version == Some(1)),
        body,
    };
    Ok(Some(answer).filter(|answer| answer.body.end <= input.len()))
}

/// The three headers that matter.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    cache: Option<Class>,
    keep_alive: Option<bool>,
}

impl Fields {
    fn of(headers: &[httparse::Header<'_>]) -> Self {
        let mut fields = Self::default();
        for header in headers {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                fields.length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            } else if header.name.eq_ignore_ascii_case("x-mintbench-cache") {
                fields.cache = cache_class(value);
            } else if header.name.eq_ignore_ascii_case("connection") {
                fields.keep_alive = Some(!value.eq_ignore_ascii_case(b"close"));
            }
        }
        fields
    }
}

fn cache_class(value: &[u8]) -> Option<Class> {
    [Class::Hit, Class::Miss, Class::Coalesced]
        .into_iter()
        .find(|class| class.as_str().as_bytes() == value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mintbench-Cache: miss\r\n\r\n{}";

    #[test]
    fn an_answer_is_whole_at_its_last_byte_and_not_before() {
        for end in 0..WHOLE.len() {
            assert_eq!(parse(&WHOLE[..end]), Ok(None), "{end}");
        }
        let answer = parse(WHOLE).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.cache, answer.keep_alive),
            (200, Some(Class::Miss), true)
        );
        assert_eq!(&WHOLE[answer.body], b"{}");
    }

    #[test]
    fn a_closing_answer_ends_its_connection() {
        let closing = b"HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let answer = parse(closing).unwrap().unwrap();
        assert_eq!((answer.status, answer.keep_alive, answer.cache), (429, false, None));
    }

    #[test]
    fn answers_without_a_length_or_with_a_huge_one_are_refused() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(chunked), Err(AnswerError::NoLength));
        let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(parse(huge), Err(AnswerError::TooLong(99_999_999)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
