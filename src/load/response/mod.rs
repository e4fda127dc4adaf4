//! The least HTTP response reader that a timed loop needs.
//!
//! It keeps no state: whoever reads calls [`parse`] with all the bytes so far, until there is an
//! answer. Where an answer ends is decided as RFC 9112 section 6.3 has it.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::class::Class;

mod chunked;
mod fields;

use self::fields::{Fields, Length};

/// More headers than any token endpoint sends.
const HEADERS_MAX: usize = 64;
/// A token answer is 2 KB; this bounds what one connection may hold.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// A head that has not ended by here is not one.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Interim answers before the one that counts; a server sends one, if any.
const INTERIM_MAX: usize = 8;

/// A whole answer at the start of the bytes read so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What the broker says it did, from `x-mintbench-cache`.
    pub(super) cache: Option<Class>,
    /// Whether the connection can take another request.
    pub(super) keep_alive: bool,
    /// For how many seconds the session counts that it opens, if it says.
    pub(super) session_seconds: Option<u64>,
    /// How many of the bytes belong to it.
    pub(super) end: usize,
    content: Content,
}

/// Where the content stands in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// As it is.
    Plain(Range<usize>),
    /// In chunks, which are put together when somebody looks.
    Chunked(Range<usize>),
}

impl Answer {
    /// The content, of the bytes that it was parsed from.
    pub(super) fn body<'a>(&self, input: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.content {
            Content::Plain(range) => input.get(range.clone()).unwrap_or_default().into(),
            Content::Chunked(range) => {
                chunked::join(input.get(range.clone()).unwrap_or_default()).into()
            }
        }
    }
}

/// Whether more bytes can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The server has ended the connection, in an orderly way.
    Ended,
    /// The connection is open.
    Open,
}

/// Why bytes are not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("the answer is not HTTP/1: {0}")]
    Syntax(httparse::Error),
    #[error("the answer has a content-length that is no number, or several that differ")]
    Length,
    #[error("the answer is not in chunks as it says")]
    Chunk,
    #[error("the head or the trailer of the answer exceeds {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("the answer has {0} bytes or more; at most {BODY_BYTES_MAX} are accepted")]
    TooLong(u64),
    #[error("more than {INTERIM_MAX} interim answers came first")]
    Interim,
    #[error("the server switches to another protocol, which nobody asked for")]
    Switched,
}

/// The answer in `input`, `None` while it is incomplete.
///
/// # Errors
/// [`AnswerError`] when no further bytes can make it an answer.
pub(super) fn parse(input: &[u8], rest: Rest) -> Result<Option<Answer>, AnswerError> {
    let mut start = 0;
    for _ in 0..=INTERIM_MAX {
        let Some(head) = head(input, start)? else { return Ok(None) };
        match head.status {
            101 => return Err(AnswerError::Switched),
            // RFC 9110 section 15.2: any number of these, each without content, comes before.
            100..=199 => start = head.end,
            _ => return head.answer(input, rest),
        }
    }
    Err(AnswerError::Interim)
}

/// The head of an answer.
struct Head {
    status: u16,
    /// Where the content begins.
    end: usize,
    fields: Fields,
    keep_alive: bool,
}

fn head(input: &[u8], start: usize) -> Result<Option<Head>, AnswerError> {
    // Uninitialised: clearing 64 headers costs more than reading the five of an answer.
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut []);
    let input = input.get(start..).unwrap_or_default();
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut head,
        input,
        &mut headers,
    );
    let length = match parsed.map_err(AnswerError::Syntax)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if input.len() > HEAD_BYTES_MAX => {
            return Err(AnswerError::HeadTooLong);
        }
        httparse::Status::Partial => return Ok(None),
    };
    let fields = Fields::of(head.headers);
    Ok(Some(Head {
        status: head.code.unwrap_or_default(),
        end: start + length,
        keep_alive: fields.keep_alive.unwrap_or(head.version == Some(1)),
        fields,
    }))
}

impl Head {
    fn answer(self, input: &[u8], rest: Rest) -> Result<Option<Answer>, AnswerError> {
        let start = self.end;
        // RFC 9112 section 6.3: these have no content, whatever else they say.
        if matches!(self.status, 204 | 304) {
            return Ok(Some(self.with(Content::Plain(start..start), start)));
        }
        match self.fields.length {
            Length::Wrong => Err(AnswerError::Length),
            Length::Known(length) => {
                let end = start.saturating_add(within_limit(length)?);
                let whole = end <= input.len();
                Ok(whole.then(|| self.with(Content::Plain(start..end), end)))
            }
            Length::Chunked => {
                let body = input.get(start..).unwrap_or_default();
                let end = chunked::end(body)?.map(|length| start + length);
                Ok(end.map(|end| self.with(Content::Chunked(start..end), end)))
            }
            Length::UntilEnd => {
                within_limit((input.len() - start) as u64)?;
                let end = input.len();
                let head = Self { keep_alive: false, ..self };
                Ok((rest == Rest::Ended).then(|| head.with(Content::Plain(start..end), end)))
            }
        }
    }

    fn with(self, content: Content, end: usize) -> Answer {
        let Self { status, fields: Fields { cache, session_seconds, .. }, keep_alive, .. } = self;
        Answer { status, cache, keep_alive, session_seconds, end, content }
    }
}

fn within_limit(length: u64) -> Result<usize, AnswerError> {
    let known = usize::try_from(length).ok().filter(|length| *length <= BODY_BYTES_MAX);
    known.ok_or(AnswerError::TooLong(length))
}

#[cfg(test)]
mod tests;
