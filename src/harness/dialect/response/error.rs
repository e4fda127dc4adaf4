//! Limits of an answer, and the reasons why bytes are not an answer.

/// The reason why bytes are not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
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

/// The largest body, which bounds the memory of one connection. A token answer is 2 KB.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// The largest head of an answer.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The most interim answers before the final one; a server sends at most one.
pub(crate) const INTERIM_MAX: usize = 8;
