//! A minimal HTTP response reader for the timed loop.
//!
//! The reader keeps no state: the caller passes all bytes so far to `parse` until there is an
//! answer. The end of an answer follows RFC 9112 section 6.3.

mod chunked;
mod error;
mod fields;

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

pub(crate) use self::error::AnswerError;
use self::error::{BODY_BYTES_MAX, HEAD_BYTES_MAX, INTERIM_MAX};
use self::fields::{Fields, Length};
use crate::harness::class::Class;

/// The most header fields read, more than any token endpoint sends.
const HEADERS_MAX: usize = 64;

/// A complete answer at the start of the bytes read so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The broker's cache result, from `x-mintbench-cache`.
    pub(crate) cache: Option<Class>,
    /// True if the connection can take another request.
    pub(crate) keep_alive: bool,
    /// The time for which the opened session is valid, in seconds, if the answer says.
    pub(crate) session_seconds: Option<u64>,
    /// Number of bytes of the answer.
    pub(crate) end: usize,
    content: Content,
}

/// The position of the body in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// A body without framing.
    Plain(Range<usize>),
    /// A chunked body, joined only when it is needed.
    Chunked(Range<usize>),
}

impl Answer {
    /// Returns the body, given the bytes that the answer was parsed from.
    pub(crate) fn body<'a>(&self, input: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.content {
            Content::Plain(range) => input.get(range.clone()).unwrap_or_default().into(),
            Content::Chunked(range) => {
                chunked::join(input.get(range.clone()).unwrap_or_default()).into()
            }
        }
    }
}

/// The state of the connection: more bytes can come, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The server has closed the connection in an orderly way.
    Ended,
    /// The connection is open.
    Open,
}

/// Parses the answer in `input`. Returns `None` while it is incomplete.
///
/// # Errors
/// Returns [`AnswerError`] if no further bytes can make it an answer.
pub(crate) fn parse(input: &[u8], rest: Rest) -> Result<Option<Answer>, AnswerError> {
    match final_head(input)? {
        Some(head) => head.answer(input, rest),
        None => Ok(None),
    }
}

/// Parses the answer to a HEAD request, which has no body, whatever its header fields say.
///
/// # Errors
/// Returns [`AnswerError`] if no further bytes can make it an answer.
pub(crate) fn parse_head(input: &[u8]) -> Result<Option<Answer>, AnswerError> {
    Ok(final_head(input)?.map(|head| {
        let end = head.end;
        head.with(Content::Plain(end..end), end)
    }))
}

/// Part of a body that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// Number of bytes that have arrived, framing included.
    pub(crate) arrived: u64,
    /// Number of bytes of the whole body, if its length is given.
    pub(crate) whole: Option<u64>,
}

/// Returns how much of the body of an incomplete answer has arrived; `None` before the body begins.
pub(crate) fn extent(input: &[u8]) -> Option<Extent> {
    let head = final_head(input).ok()??;
    let whole = match head.fields.length {
        Length::Known(length) => Some(length),
        Length::Chunked | Length::UntilEnd | Length::Wrong => None,
    };
    Some(Extent { arrived: input.len().saturating_sub(head.end) as u64, whole })
}

/// Returns the head of the answer, after any interim answers; `None` while it is incomplete.
fn final_head(input: &[u8]) -> Result<Option<Head>, AnswerError> {
    let mut start = 0;
    for _ in 0..=INTERIM_MAX {
        let Some(head) = head(input, start)? else { return Ok(None) };
        match head.status {
            101 => return Err(AnswerError::Switched),
            // RFC 9110 section 15.2: any number of interim answers, each without a body, comes
            // first.
            100..=199 => start = head.end,
            _ => return Ok(Some(head)),
        }
    }
    Err(AnswerError::Interim)
}

/// The head of an answer.
struct Head {
    status: u16,
    /// The position at which the body begins.
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
        // RFC 9112 section 6.3: these have no body, whatever their header fields say.
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
