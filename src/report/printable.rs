//! Text from outside as a terminal, a page and an XML file can hold it.

use std::borrow::Cow;

/// Shows every control character but a line's end as text, `\u{1b}` for an escape.
///
/// So are characters that change the direction of a line, and those that XML forbids.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_hidden(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// A name within a line: its ends of lines are shown as text, too.
pub fn name(text: &str) -> String {
    printable(&text.replace('\n', "\\n")).into_owned()
}

fn is_hidden(char: char) -> bool {
    const DIRECTIONS: [std::ops::RangeInclusive<char>; 3] =
        ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    let directs = DIRECTIONS.iter().any(|range| range.contains(&char));
    (char.is_control() && char != '\n') || directs || matches!(char, '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_text_and_words_of_any_language_stay() {
        assert_eq!(printable("base\u{1b}[31m\r\n\0"), "base\\u{1b}[31m\\r\n\\u{0}");
        assert_eq!(printable("a\u{202e}b\u{9b}c\u{ffff}"), "a\\u{202e}b\\u{9b}c\\u{ffff}");
        for plain in ["", "target/debug/mintbench", "größe 基 ±5 %\nnext line"] {
            assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
        }
        assert_eq!(name("a\nb\t"), "a\\nb\\t");
    }
}
