//! Pairs of queries and forms (`application/x-www-form-urlencoded`).
//!
//! This is the only parser of them. Azure's services treat repeated names, letter case, `+` and bytes that
//! are not UTF-8 differently, so each surface applies its own rules to the pairs. The parser allocates
//! nothing, and decoding allocates only for an encoded text. The crate `form_urlencoded` cannot serve: it
//! always decodes names and replaces bytes that are not UTF-8, so no surface could refuse them.

use std::borrow::Cow;
use std::str::Utf8Error;

use percent_encoding::percent_decode_str;

/// Returns the pairs of names and values, in order. Empty pairs are left out. A pair without `=` has an empty
/// value.
#[inline]
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (Encoded<'_>, Encoded<'_>)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (Encoded(name), Encoded(value))
    })
}

/// A name or a value as the client sent it, or a segment of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoded<'a>(&'a str);

impl<'a> Encoded<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text without decoding it.
    #[inline]
    pub(crate) const fn as_sent(self) -> &'a str {
        self.0
    }

    /// Returns true if decoding may change the text.
    #[inline]
    pub(crate) fn is_encoded(self) -> bool {
        self.0.bytes().any(|byte| matches!(byte, b'%' | b'+'))
    }

    /// Decodes the text as in a form: a space is `+` or `%20`.
    ///
    /// # Errors
    /// Returns an error when the decoded bytes are not UTF-8.
    #[inline]
    pub(crate) fn decode(self) -> Result<Cow<'a, str>, Utf8Error> {
        if self.0.contains('+') {
            let spaced = self.0.replace('+', " ");
            let decoded = percent_decode_str(&spaced).decode_utf8()?;
            return Ok(Cow::Owned(decoded.into_owned()));
        }
        self.decode_percent()
    }

    /// Decodes the text as in a URI: `+` is not a space (RFC 3986 section 2).
    ///
    /// # Errors
    /// Returns an error when the decoded bytes are not UTF-8.
    #[inline]
    pub(crate) fn decode_percent(self) -> Result<Cow<'a, str>, Utf8Error> {
        percent_decode_str(self.0).decode_utf8()
    }

    /// Decodes the text as in a form, and replaces bytes that are not UTF-8.
    pub(crate) fn decode_lossy(self) -> String {
        let spaced = self.0.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_order_and_need_no_value() {
        let pairs: Vec<_> = pairs("&b=1&&a=x=y&c&=d&b=2")
            .map(|(name, value)| (name.as_sent(), value.as_sent()))
            .collect();
        assert_eq!(pairs, [("b", "1"), ("a", "x=y"), ("c", ""), ("", "d"), ("b", "2")]);
    }

    #[test]
    fn each_way_of_decoding_decodes_once() {
        let text = Encoded::new("a+%2B%2541");
        assert_eq!(text.decode().unwrap(), "a +%41");
        assert_eq!(text.decode_percent().unwrap(), "a++%41");
        assert_eq!(text.decode_lossy(), "a +%41");
        assert!(text.is_encoded() && !Encoded::new("a-_.~").is_encoded());
        let broken = Encoded::new("%FF");
        assert!(broken.decode().is_err() && broken.decode_percent().is_err());
        assert_eq!(broken.decode_lossy(), "\u{fffd}");
    }
}
