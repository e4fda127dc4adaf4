//! A plain GET request, read without hyper.

/// Longest target of a plain request, in bytes. Those of token requests have 100 to 500.
pub(crate) const PLAIN_TARGET_BYTES_MAX: usize = 768;

/// Position of a part of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// Returns the position of `part`, a slice of `head`. Returns `None` if it is none, or too far behind.
    pub(crate) fn of(part: &[u8], head: &[u8]) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(head.as_ptr().addr())?;
        let end = start.checked_add(part.len()).filter(|end| *end <= head.len())?;
        Some(Self { start: start.try_into().ok()?, end: end.try_into().ok()? })
    }

    #[inline]
    pub(crate) fn start(self) -> usize {
        self.start.into()
    }

    #[inline]
    pub(crate) fn end(self) -> usize {
        self.end.into()
    }

    /// Returns the position without its first byte.
    pub(crate) fn without_first(self) -> Self {
        Self { start: self.end.min(self.start + 1), end: self.end }
    }

    /// Returns the part of `head` at this position.
    #[inline]
    pub(crate) fn part(self, head: &[u8]) -> &[u8] {
        head.get(self.start()..self.end()).unwrap_or_default()
    }
}

/// A header: the positions of its name and of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl HeaderSpan {
    /// Returns true if the header in `head` has this name, which ignores case.
    #[inline]
    pub(crate) fn is(self, name: &str, head: &[u8]) -> bool {
        // The lengths of most headers differ, so the rest is a call.
        self.name.end() - self.name.start() == name.len() && same_name(self.name.part(head), name)
    }
}

#[inline(never)]
fn same_name(own: &[u8], name: &str) -> bool {
    own.eq_ignore_ascii_case(name.as_bytes())
}

/// Positions of the parts of a plain head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) target: Span,
    pub(crate) host: Span,
    pub(crate) headers: Vec<HeaderSpan>,
    /// Length of the head in bytes.
    pub(crate) len: usize,
}

/// A GET request without anything that changes how it or its answer is framed: HTTP/1.1, one `Host`, a target
/// that is a short path, no body, and a connection that stays open.
#[derive(Clone, Copy, Debug)]
pub struct PlainRequest<'a> {
    head: &'a [u8],
    layout: &'a Layout,
}

impl<'a> PlainRequest<'a> {
    /// Creates the request with this head, which may have other bytes behind it.
    pub(crate) const fn new(head: &'a [u8], layout: &'a Layout) -> Self {
        Self { head, layout }
    }

    /// Returns path and query, as sent.
    pub(crate) fn target(&self) -> &'a [u8] {
        self.layout.target.part(self.head)
    }

    /// Returns the single `Host`.
    pub(crate) fn host(&self) -> &'a [u8] {
        self.layout.host.part(self.head)
    }

    /// Returns the values of the headers with this name, which ignores case.
    #[inline]
    pub(crate) fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let Self { head, layout } = *self;
        let named = layout.headers.iter().filter(move |header| header.is(name, head));
        named.map(move |header| header.value.part(head))
    }
}
