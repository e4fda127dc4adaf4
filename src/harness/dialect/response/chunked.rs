//! Chunked bodies (RFC 9112 section 7.1): finding their end, and joining their chunks.

use super::error::{AnswerError, BODY_BYTES_MAX, HEAD_BYTES_MAX};

/// The longest allowed line of a chunk's size, extensions included.
const SIZE_LINE_BYTES_MAX: usize = 1024;
/// The most bytes that a chunked body may have, framing included. A server that sends a token byte
/// by byte needs six times its length.
const FRAMING_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;

/// Returns the length of the whole chunked body at the start of `body`, trailer included, or `None`
/// while it is incomplete.
pub(crate) fn end(body: &[u8]) -> Result<Option<usize>, AnswerError> {
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

/// Returns the content of the chunks of `body`, which [`end`] has found complete.
pub(crate) fn join(body: &[u8]) -> Vec<u8> {
    let (mut rest, mut content) = (body, Vec::with_capacity(body.len()));
    while let Ok(Some(Chunk { line, size: size @ 1.. })) = chunk(rest) {
        content.extend_from_slice(rest.get(line..line + size).unwrap_or_default());
        rest = rest.get(line + size + 2..).unwrap_or_default();
    }
    content
}

/// The first line of a chunk.
struct Chunk {
    /// Length of the line in bytes, line end included.
    line: usize,
    /// Number of bytes that the chunk holds.
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

/// Returns the length of the fields after the last chunk, with the empty line that ends them.
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
