//! Protection against request smuggling: refuses request heads whose lines do not end with CR LF.
//!
//! The parser accepts a bare LF as the end of a line, as RFC 9112 section 2.2 allows. A proxy in front of
//! this server may not, and then the two see different requests. So each bare LF of a head is replaced by a
//! NUL, which the parser refuses everywhere. Bodies are not changed. A head is passed on without the bytes
//! after it, so that the length of its body is known before the next byte is examined.

use memchr::memchr_iter;

use crate::base::http::limits::UNBOUNDED;

/// The part of a request that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// A head is complete, but the length of its body is not known yet.
    Between,
    /// A body, with the number of bytes still to come.
    Body(u64),
}

/// The requests of one connection, up to the last received byte.
#[derive(Debug)]
pub(crate) struct HeadFilter {
    part: Part,
    /// Bytes of the current line so far.
    line_bytes: usize,
    /// True if the last of them is CR.
    ends_with_cr: bool,
    /// True if the head has a line. Empty lines before it are ignored (RFC 9112 section 2.2).
    has_line: bool,
}

impl HeadFilter {
    pub(crate) const fn new() -> Self {
        Self { part: Part::Head, line_bytes: 0, ends_with_cr: false, has_line: false }
    }

    /// Returns true if the last examined byte ended a head.
    pub(crate) fn is_between(&self) -> bool {
        self.part == Part::Between
    }

    /// Examines received bytes and returns how many may be passed on now. Bytes after the end of a head must
    /// wait. `body_bytes` is the length of the body after the last head.
    pub(crate) fn examine(&mut self, bytes: &mut [u8], body_bytes: u64) -> usize {
        if self.part == Part::Between {
            self.part = Part::Body(body_bytes);
        }
        let mut examined = 0;
        if let Part::Body(left) = self.part {
            if left == UNBOUNDED {
                return bytes.len();
            }
            examined = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let left = left - examined as u64;
            self.part = if left == 0 { Part::Head } else { Part::Body(left) };
        }
        let head = bytes.get_mut(examined..).unwrap_or_default();
        if head.is_empty() {
            return examined;
        }
        examined + self.examine_head(head)
    }

    fn examine_head(&mut self, bytes: &mut [u8]) -> usize {
        let mut bare = Vec::new();
        let mut line_start = 0;
        let mut end = None;
        for at in memchr_iter(b'\n', bytes) {
            let before = at.checked_sub(1).and_then(|before| bytes.get(before));
            if !before.map_or(self.ends_with_cr, |before| *before == b'\r') {
                bare.push(at);
                continue;
            }
            let line_bytes = self.line_bytes + at + 1 - line_start;
            (self.line_bytes, line_start) = (0, at + 1);
            if line_bytes > 2 {
                self.has_line = true;
            } else if self.has_line {
                (self.part, self.has_line) = (Part::Between, false);
                end = Some(at + 1);
                break;
            }
        }
        for at in bare {
            bytes.get_mut(at).into_iter().for_each(|byte| *byte = b'\0');
        }
        let end = end.unwrap_or(bytes.len());
        self.line_bytes += end - line_start;
        self.ends_with_cr = end > line_start && bytes.last() == Some(&b'\r');
        end
    }
}

/// Returns true if a line feed in `head` does not follow a CR. Compiled to vector instructions, unlike the
/// search for each line.
pub(crate) fn has_bare_line_feed(head: &[u8]) -> bool {
    let after = head.get(1..).unwrap_or_default();
    let is_bare = |(before, byte): (&u8, &u8)| u8::from(*byte == b'\n' && *before != b'\r');
    // Without a branch, and in bytes: `any` would stop the vector instructions, and a sum needs wider numbers.
    let bare = head.iter().zip(after).map(is_bare).fold(0, |any, is_bare| any | is_bare);
    bare != 0 || head.first() == Some(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the parts of `sent` that are passed on, each up to the end of a head. `sent` arrives in pieces
    /// of `piece_bytes`.
    fn handed_on(sent: &[u8], piece_bytes: usize, bodies: &[u64]) -> Vec<u8> {
        let (mut heads, mut passed) = (HeadFilter::new(), Vec::new());
        let mut bodies = bodies.iter();
        let mut body = 0;
        for piece in sent.chunks(piece_bytes) {
            let mut piece = piece.to_vec();
            while !piece.is_empty() {
                let count = heads.examine(&mut piece, body);
                assert!(count > 0);
                passed.extend(piece.drain(..count));
                if heads.part == Part::Between {
                    body = bodies.next().copied().unwrap_or(0);
                }
            }
        }
        passed
    }

    #[test]
    fn a_bare_line_feed_anywhere_in_a_head_is_struck_out() {
        let good = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
        for piece_bytes in 1..=good.len() {
            assert_eq!(handed_on(good, piece_bytes, &[]), good);
            for at in 0..good.len() {
                let mut sent = good.to_vec();
                sent.insert(at, b'\n');
                let is_after_cr = at > 0 && good[at - 1] == b'\r';
                let bare = if is_after_cr { at + 1 } else { at };
                let mut wanted = sent.clone();
                wanted[bare] = b'\0';
                assert_eq!(handed_on(&sent, piece_bytes, &[]), wanted, "{at} {piece_bytes}");
            }
        }
    }

    #[test]
    fn line_feeds_of_bodies_stay_and_those_of_the_next_head_do_not() {
        let sent = b"PUT / HTTP/1.1\r\n\r\n{\n\n}\r\n\r\nGET / HTTP/1.1\r\nX: a\nb: c\r\n\r\n";
        let mut wanted = sent.to_vec();
        wanted[46] = b'\0';
        for piece_bytes in 1..=sent.len() {
            assert_eq!(handed_on(sent, piece_bytes, &[8, 0]), wanted, "{piece_bytes}");
        }
        let chunked = b"PUT / HTTP/1.1\r\n\r\n1\n\n\n0\n\n";
        assert_eq!(handed_on(chunked, 7, &[UNBOUNDED]), chunked);
    }

    proptest! {
        #[test]
        fn a_bare_line_feed_is_seen_where_the_filter_strikes_one_out(
            head in "GET / HTTP/1.1\r\n(a|: |\n|\r|\r\n){0,12}",
        ) {
            let passed = handed_on(head.as_bytes(), head.len(), &[]);
            prop_assert_eq!(has_bare_line_feed(head.as_bytes()), passed != head.as_bytes());
        }

        #[test]
        fn no_line_feed_without_cr_is_handed_on_in_a_head(
            sent in "(GET|\r\n|\n|\r|a| ){1,40}",
            piece_bytes in 1_usize..50,
        ) {
            let passed = handed_on(sent.as_bytes(), piece_bytes, &[]);
            prop_assert_eq!(passed.len(), sent.len());
            let mut before = b'\0';
            for byte in passed {
                prop_assert!(byte != b'\n' || before == b'\r');
                before = byte;
            }
        }
    }
}
