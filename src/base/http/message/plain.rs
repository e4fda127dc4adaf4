//! A plain GET request, read without hyper.

use httparse::Header;

/// Longest target of a plain request, in bytes. Those of token requests have 100 to 500.
pub(crate) const PLAIN_TARGET_BYTES_MAX: usize = 768;

/// A GET request without anything that changes how it or its answer is framed: HTTP/1.1, one `Host`, a target
/// that is a short path, no body, and a connection that stays open.
#[derive(Clone, Copy, Debug)]
pub struct PlainRequest<'h, 'b> {
    /// Path and query, as sent.
    pub(crate) target: &'b str,
    /// The single `Host`.
    pub(crate) host: &'b [u8],
    pub(crate) headers: &'h [Header<'b>],
    /// Length of the head in bytes.
    pub(crate) len: usize,
}

impl<'b> PlainRequest<'_, 'b> {
    /// Returns the values of the headers with this name, which ignores case.
    pub(crate) fn values(&self, name: &'static str) -> impl Iterator<Item = &'b [u8]> {
        let named = self.headers.iter().filter(move |own| own.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value)
    }
}
