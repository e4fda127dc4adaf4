//! Text from outside, made safe for a terminal, a log, a page and an XML file.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use serde::Serialize;

/// Escapes every control character except a line end, as in `\u{1b}` for an escape.
///
/// Invisible characters, characters that change the direction of a line, and characters that XML forbids are
/// escaped as well.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    shown(text, |hidden, shown| shown.extend(hidden.escape_default()))
}

/// Escapes a name for use within a line: line ends are escaped, too.
pub(crate) fn name(text: &str) -> String {
    printable(&text.replace('\n', "\\n")).into_owned()
}

/// Formats a value as JSON over several lines. Characters that [`printable`] escapes become `\u1234`, which
/// JSON parsers read as the same character.
///
/// # Errors
/// Returns an error when the value cannot be written as JSON.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let escape = |hidden: char, shown: &mut String| {
        for unit in hidden.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    };
    Ok(shown(&text, escape).into_owned() + "\n")
}

/// Like [`printable`], but keeps colours. For texts of this program that contain text from outside whose own
/// escapes were removed.
pub(crate) fn coloured(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut shown = printable(pieces.next().unwrap_or_default()).into_owned();
    for piece in pieces {
        let colours = |char: char| char.is_ascii_digit() || char == ';';
        let end = piece.strip_prefix('[').map(|rest| rest.trim_start_matches(colours));
        let is_colour = end.is_some_and(|rest| rest.starts_with('m'));
        shown.push_str(if is_colour { "\u{1b}" } else { "\\u{1b}" });
        shown.push_str(&printable(piece));
    }
    shown
}

fn shown(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_hidden(char) {
            escape(char, &mut shown);
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// Characters that are invisible (Unicode, `Default_Ignorable_Code_Point`), separate lines, or are not
/// characters. Variation selectors stay, because emoji use them.
const HIDDEN: [RangeInclusive<char>; 14] = [
    '\u{ad}'..='\u{ad}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{fffe}'..='\u{ffff}',
    '\u{e0000}'..='\u{e0fff}',
];

fn is_hidden(char: char) -> bool {
    if char.is_ascii() {
        return char.is_ascii_control() && char != '\n';
    }
    char.is_control() || HIDDEN.iter().any(|range| range.contains(&char))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_shown_as_text_and_words_of_any_language_stay() {
        assert_eq!(printable("base\u{1b}[31m\r\n\0"), "base\\u{1b}[31m\\r\n\\u{0}");
        assert_eq!(printable("a\u{202e}b\u{9b}c\u{ffff}"), "a\\u{202e}b\\u{9b}c\\u{ffff}");
        assert_eq!(printable("\u{200b}\u{feff}\u{e0041}"), "\\u{200b}\\u{feff}\\u{e0041}");
        for plain in ["", "target/debug/mintbench", "größe 基 ±5 %\nnext line"] {
            assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
        }
        assert_eq!(name("a\nb\t"), "a\\nb\\t");
    }

    #[test]
    fn colours_stay_and_no_other_sequence_does() {
        assert_eq!(coloured("\u{1b}[1;31mred\u{1b}[0m\n"), "\u{1b}[1;31mred\u{1b}[0m\n");
        assert_eq!(coloured("\u{1b}[2J\u{1b}]0;x\u{7}"), "\\u{1b}[2J\\u{1b}]0;x\\u{7}");
        assert_eq!(coloured("\u{1b}[31\u{202e}m\u{1b}"), "\\u{1b}[31\\u{202e}m\\u{1b}");
    }

    proptest! {
        #[test]
        fn json_is_read_as_what_it_was_and_holds_nothing_hidden(text in "\\PC*", hidden: char) {
            let value = format!("{text}{hidden}\u{202e}\u{e0001}\u{7f}");
            let json = json(&value).unwrap();
            prop_assert!(!json.chars().any(is_hidden), "{json}");
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        }
    }
}
