//! Content in chunks (RFC 9112 section 7.1): where it ends, and what it is without them.

use super::{AnswerError, BODY_BYTES_MAX, HEAD_BYTES_MAX};

/// The line of a chunk's size, extensions included.
const SIZE_LINE_BYTES_MAX: usize = 1024;
/// What chunks may take beside what is in them; a server that sends tokens byte by byte needs six
/// times their length.
const FRAMING_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;

/// How many bytes at the start of `body` are the whole of it, trailer included; `None` while it is
/// incomplete.
pub(super) fn end(body: &[u8]) -> Result<Option<usize>, AnswerError> {
    let (mut at, mut content) = (0, 0_usize);
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let Some(chunk) = chunk(rest)? else { return within(body) };
        if chunk.size == 0 {
            let trailer = rest.get(chunk.line..).unwrap_or_default();
            return Ok(trailer_end(trailer)?.map(|length| at + chunk.line + length));
        }
        content = content.saturating_add(chunk.size);
        if content > BODY_BYTES_MAX {
            return Err(AnswerError::TooLong(content as u64));
        }
        let Some(line_end) = rest.get(chunk.line + chunk.size..chunk.line + chunk.size + 2) else {
            return within(body);
        };
        if line_end != b"\r\n" {
            return Err(AnswerError::Chunk);
        }
        at += chunk.line + chunk.size + 2;
    }
}

/// What the chunks of `body` hold, which [`end`] has found whole.
pub(super) fn join(body: &[u8]) -> Vec<u8> {
    let (mut rest, mut content) = (body, Vec::with_capacity(body.len()));
    while let Ok(Some(Chunk { line, size: size @ 1.. })) = chunk(rest) {
        content.extend_from_slice(rest.get(line..line + size).unwrap_or_default());
        rest = rest.get(line + size + 2..).unwrap_or_default();
    }
    content
}

/// The beginning of a chunk.
struct Chunk {
    /// Bytes of its first line, line end included.
    line: usize,
    /// Bytes of what it holds.
    size: usize,
}

fn chunk(rest: &[u8]) -> Result<Option<Chunk>, AnswerError> {
    match httparse::parse_chunk_size(rest).map_err(|_| AnswerError::Chunk)? {
        httparse::Status::Complete((line, size)) => {
            let known = usize::try_from(size).ok().filter(|size| *size <= BODY_BYTES_MAX);
            Ok(Some(Chunk { line, size: known.ok_or(AnswerError::TooLong(size))? }))
        }
        httparse::Status::Partial if rest.len() > SIZE_LINE_BYTES_MAX => Err(AnswerError::Chunk),
        httparse::Status::Partial => Ok(None),
    }
}

fn within(body: &[u8]) -> Result<Option<usize>, AnswerError> {
    if body.len() > FRAMING_BYTES_MAX { Err(AnswerError::Chunk) } else { Ok(None) }
}

/// Bytes of the fields after the last chunk and the empty line that ends them.
fn trailer_end(trailer: &[u8]) -> Result<Option<usize>, AnswerError> {
    if trailer.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    match trailer.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) => Ok(Some(at + 4)),
        None if trailer.len() > HEAD_BYTES_MAX => Err(AnswerError::HeadTooLong),
        None => Ok(None),
    }
}
