//! A plain GET request, read without hyper.

use httparse::Header;

/// A GET request without anything that changes how it or its answer is framed: HTTP/1.1, one `Host`, a target
/// that is a path, no body, and a connection that stays open.
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
