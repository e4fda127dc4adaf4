//! The last plain head of a connection.
//!
//! Most clients send the same head again and again, except for the target and the value of one header: azure-identity
//! sends a new `x-ms-client-request-id` with each request, and a program with several identities names one of them in
//! the target. Such a head has the layout of the one before, so it is not parsed again. What its parts mean is decided
//! for each request.

use super::plain::{Judged, judge};
use crate::base::http::message::{Layout, Span};

/// The last plain head, and its layout.
#[derive(Debug, Default)]
pub(super) struct LastHead {
    text: Vec<u8>,
    layout: Layout,
    varying: Varying,
}

/// Positions of the parts that change. A part that has not changed yet is empty.
#[derive(Clone, Copy, Debug, Default)]
struct Varying {
    /// The target without its first byte, which tells its form.
    target: Span,
    /// The value of a header.
    value: Span,
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
                let varying = self.varying.after(&self.text, head, &self.layout);
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

    /// Returns true if `bytes` begin with the last head, or with one that has other visible characters in the parts
    /// that change.
    fn is_like(&self, bytes: &[u8]) -> bool {
        let head = bytes.get(..self.text.len()).filter(|head| !head.is_empty());
        head.is_some_and(|head| self.varying.is_all(&self.text, head))
    }
}

impl Varying {
    /// Returns true if two heads of one length differ in these parts at most, and in visible characters.
    fn is_all(self, last: &[u8], head: &[u8]) -> bool {
        let Self { target, value } = self;
        let middle = target.end()..value.start().max(target.end());
        let end = value.end().max(target.end());
        last.get(..target.start()) == head.get(..target.start())
            && is_visible(target.part(head))
            && last.get(middle.clone()) == head.get(middle)
            && is_visible(value.part(head))
            && last.get(end..) == head.get(end..)
    }

    /// Returns the parts that changed up to `head`, which has this layout and follows `last`. Returns `None` if more
    /// has changed. A value that changes the framing is none of them: the judge has seen the last one only.
    fn after(self, last: &[u8], head: &[u8], layout: &Layout) -> Option<Self> {
        let differs = |part: Span| part.part(last) != part.part(head);
        let target = layout.target.without_first();
        let is_target = differs(target) || target == self.target;
        let values = layout.headers.iter().filter(|header| !header.is("connection", head));
        let mut values = values.map(|header| header.value);
        let changed = values.clone().find(|value| differs(*value));
        let value = changed.or_else(|| values.find(|value| *value == self.value));
        let varying = Self {
            target: if is_target { target } else { Span::default() },
            value: value.unwrap_or_default(),
        };
        (last.len() == head.len() && varying.is_all(last, head)).then_some(varying)
    }
}

/// Returns true if all bytes are visible ASCII characters. The parser accepts each of them in a target and in a value.
fn is_visible(bytes: &[u8]) -> bool {
    // Without a branch, so that it is compiled to vector instructions.
    bytes.iter().fold(true, |all, byte| all & byte.is_ascii_graphic())
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
    fn a_target_and_a_value_may_change_together_or_alone() {
        let head = |target: &str, value: &str| id(value).replace("/a?b", target);
        let heads = [
            head("/a?b", "aaaaaaaaaa"),
            head("/a?c", "bbbbbbbbbb"),
            head("/b?d", "cccccccccc"),
            head("/b?d", "dddddddddd"),
            head("/a?e", "dddddddddd"),
        ];
        assert_eq!(judged_alike(heads.iter().map(String::as_bytes)), 3);
        for other in ["*a?b", "/a b", "/a?\u{7f}", "/a?\u{e9}", "/a?bc"] {
            let other = head(other, "cccccccccc");
            let heads = [&heads[0], &heads[1], &other, &heads[2]];
            judged_alike(heads.map(String::as_bytes));
        }
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
                let target = format!("/a?{}", number % 7);
                let head = id(&format!("{:010}", number / 7)).replace("/a?b", &target);
                let mut head = head.into_bytes();
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
