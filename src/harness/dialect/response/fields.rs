//! The header fields that the generator reads.

use crate::harness::class::Class;

/// The length of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    /// Chunked; the last chunk is empty.
    Chunked,
    /// This number of bytes.
    Known(u64),
    /// Up to the end of the connection.
    #[default]
    UntilEnd,
    /// Contradictory or unreadable.
    Wrong,
}

/// The values of the header fields of an answer.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) length: Length,
    pub(crate) cache: Option<Class>,
    pub(crate) keep_alive: Option<bool>,
    /// The time for which the opened session is valid, in seconds.
    pub(crate) session_seconds: Option<u64>,
}

impl Fields {
    pub(crate) fn of(headers: &[httparse::Header<'_>]) -> Self {
        let mut fields = Self::default();
        // RFC 9112 section 6.3: a transfer coding outranks a length, in any order of the fields.
        let mut coding = None;
        for header in headers {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                fields.length = fields.length.and(value);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                coding = Some(coded(value));
            } else if header.name.eq_ignore_ascii_case("x-mintbench-cache") {
                fields.cache = cache_class(value);
            } else if header.name.eq_ignore_ascii_case("connection") {
                fields.keep_alive = lives(fields.keep_alive, kept(value));
            } else if header.name.eq_ignore_ascii_case("x-aws-ec2-metadata-token-ttl-seconds") {
                fields.session_seconds =
                    std::str::from_utf8(value).ok().and_then(|s| s.parse().ok());
            }
        }
        fields.length = coding.unwrap_or(fields.length);
        fields
    }
}

impl Length {
    /// Combines the length with the value of one more `Content-Length` field.
    fn and(self, value: &[u8]) -> Self {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits);
        match (self, text.and_then(|text| text.parse().ok())) {
            (Self::UntilEnd, Some(length)) => Self::Known(length),
            (Self::Known(before), Some(length)) if before == length => self,
            _ => Self::Wrong,
        }
    }
}

/// Returns the length that the codings of one field imply. The last coding decides; with any coding
/// but `chunked`, the body ends with the connection.
fn coded(value: &[u8]) -> Length {
    let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    if last.eq_ignore_ascii_case(b"chunked") { Length::Chunked } else { Length::UntilEnd }
}

/// Returns true for `keep-alive` and false for `close` in a `connection` field, if it has either.
fn kept(value: &[u8]) -> Option<bool> {
    let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let said = options.map(|option| {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        if is(b"close") { Some(false) } else { is(b"keep-alive").then_some(true) }
    });
    said.fold(None, lives)
}

/// Combines two options. `close` outranks `keep-alive`, in any order (RFC 9112 section 9.3).
fn lives(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one && other),
        (one, other) => one.or(other),
    }
}

fn cache_class(value: &[u8]) -> Option<Class> {
    [Class::Hit, Class::Miss, Class::Coalesced]
        .into_iter()
        .find(|class| class.as_str().as_bytes() == value)
}
