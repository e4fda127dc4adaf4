//! The last plain head of a connection.
//!
//! Most clients send the same head again and again, except for the value of one header: azure-identity sends a new
//! `x-ms-client-request-id` with each request. Such a head has the layout of the one before, so it is not parsed
//! again. What its parts mean is decided for each request.

use super::plain::{Judged, judge};
use crate::base::http::message::{Layout, Span};

/// The last plain head, and its layout.
#[derive(Debug, Default)]
pub(super) struct LastHead {
    text: Vec<u8>,
    layout: Layout,
    /// Position of the value that changes. Empty if none did yet.
    varying: Span,
}

impl LastHead {
    /// Judges the head at the start of `bytes`. If it is plain, it becomes the last one.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Judged {
        if self.is_like(bytes) {
            return Judged::Plain;
        }
        let judged = judge(bytes, &mut self.layout);
        match judged {
            Judged::Plain => {
                let head = bytes.get(..self.layout.len).unwrap_or_default();
                let varying = sole_difference(&self.text, head, &self.layout);
                self.varying = varying.unwrap_or_default();
                self.text.clear();
                self.text.extend_from_slice(head);
            }
            Judged::Incomplete => {}
            // The layout may be written in part.
            Judged::Odd | Judged::Other => self.text.clear(),
        }
        judged
    }

    /// Returns the layout of the last head.
    pub(super) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns true if `bytes` begin with the last head, or with one that has other visible characters in the value
    /// that changes.
    fn is_like(&self, bytes: &[u8]) -> bool {
        let (start, end) = (self.varying.start(), self.varying.end());
        let Some(head) = bytes.get(..self.text.len()).filter(|head| !head.is_empty()) else {
            return false;
        };
        head.get(..start) == self.text.get(..start)
            && head.get(end..) == self.text.get(end..)
            && is_visible(self.varying.part(head))
    }
}

/// Returns true if all bytes are visible ASCII characters.
fn is_visible(bytes: &[u8]) -> bool {
    // Without a branch, so that it is compiled to vector instructions.
    bytes.iter().fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// Returns the position of the only value in which two heads differ, of which the new one has this layout. It is
/// none that changes the framing: the judge has seen the last value of those.
fn sole_difference(last: &[u8], head: &[u8], layout: &Layout) -> Option<Span> {
    if last.len() != head.len() {
        return None;
    }
    let differs = |value: Span| value.part(last) != value.part(head);
    let mut differing = layout.headers.iter().filter(|header| differs(header.value));
    let header = differing.next().filter(|header| !header.is("connection", head))?;
    let (start, end) = (header.value.start(), header.value.end());
    let is_sole = last.get(..start) == head.get(..start) && last.get(end..) == head.get(end..);
    is_sole.then_some(header.value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const HEAD: &str = "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\nid: 0123456789\r\nMetadata: true\r\nempty:\r\n\r\n";

    fn id(id: &str) -> String {
        HEAD.replace("0123456789", id)
    }

    /// Judges heads with and without memory, and asserts that nothing differs. Returns the number of those that were
    /// not parsed.
    fn judged_alike<'a>(heads: impl IntoIterator<Item = &'a [u8]>) -> usize {
        let (mut last, mut unparsed) = (LastHead::default(), 0);
        for head in heads {
            unparsed += usize::from(last.is_like(head));
            let mut layout = Layout::default();
            let expected = judge(head, &mut layout);
            assert_eq!(last.judge(head), expected, "{}", head.escape_ascii());
            if expected == Judged::Plain {
                assert_eq!(*last.layout(), layout, "{}", head.escape_ascii());
            }
        }
        unparsed
    }

    #[test]
    fn a_head_is_parsed_until_it_is_known_which_value_changes() {
        let heads = ["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd", "dddddddddd"].map(id);
        assert_eq!(judged_alike(heads.iter().map(String::as_bytes)), 3);
        assert_eq!(judged_alike([HEAD, HEAD, HEAD].map(str::as_bytes)), 2);
    }

    #[test]
    fn a_head_that_differs_elsewhere_or_in_more_than_characters_is_parsed() {
        let [first, second] = ["aaaaaaaaaa", "bbbbbbbbbb"].map(id);
        for other in [
            id("cccccccc c"),
            id("ccccccccc "),
            id(" ccccccccc"),
            id("cccccccccc\0"),
            id("ccc\r\na: bb"),
            id("ccccccc\r\n\r\n")[..HEAD.len()].to_owned(),
            id("cccc\n: ccc"),
            id("ccccccccccc"),
            id("cccccccccc").replace("127", "128"),
            id("cccccccccc").replace("/a", "/b"),
            id("cccccccccc").replace("Metadata", "metadata"),
            id("cccccccccc").replace("keep-alive", "abcd-efghi"),
            HEAD[..HEAD.len() - 1].to_owned(),
            String::new(),
        ] {
            let heads = [&first, &second, &other, &first];
            let last = judged_alike(heads[..3].iter().map(|head| head.as_bytes()));
            assert_eq!(last, 0, "{}", other.escape_debug());
            judged_alike(heads.map(String::as_bytes));
        }
    }

    #[test]
    fn the_value_of_connection_is_judged_each_time() {
        let heads = ["keep-alive", "KEEP-ALIVE", "Keep-alive", "not-closed"];
        let heads = heads.map(|value| HEAD.replace("keep-alive", value));
        assert_eq!(judged_alike(heads.iter().map(String::as_bytes)), 0);
    }

    proptest! {
        #[test]
        fn whatever_came_before_a_head_is_judged_as_if_it_were_the_first(
            changes in proptest::collection::vec(
                (any::<usize>(), select(b"a0 \r\n:\0\x7f\xff-\t".to_vec()), 0..4_u8, any::<u32>()),
                1..30,
            ),
        ) {
            let mut heads = Vec::new();
            for (at, byte, kind, number) in changes {
                let mut head = id(&format!("{number:010}")).into_bytes();
                let at = at % head.len();
                match kind {
                    0 => head[at] = byte,
                    1 => head.insert(at, byte),
                    2 => head.truncate(at),
                    _ => {}
                }
                heads.push(head);
            }
            judged_alike(heads.iter().map(Vec::as_slice));
        }
    }
}
