//! Header fields that a user adds to requests.

use std::fmt;

use crate::base::secret::Redacted;

/// A header field of a request.
#[derive(Clone)]
pub struct Header {
    pub(crate) name: String,
    pub(crate) value: Redacted,
}

/// The reason why a text is not a header field.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The text does not have the form of a header field.
    #[error("a header is `Name: value`, on one line")]
    Form,
    /// The field would change where the request ends.
    #[error("the header `{0}` is the generator's to set; leave it out")]
    Reserved(String),
}

impl std::str::FromStr for Header {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let (name, value) = text.split_once(':').ok_or(HeaderError::Form)?;
        // RFC 9110 section 5.1 and 5.5.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let value = value.trim_matches([' ', '\t']);
        let visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(visible) {
            return Err(HeaderError::Form);
        }
        let reserved = ["content-length", "expect", "transfer-encoding", "upgrade"];
        if reserved.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(HeaderError::Reserved(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: Redacted::new(value.as_bytes().to_vec()) })
    }
}

impl Header {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Header {
    /// Formats the field without its value, which may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_line_and_does_not_show_its_value() {
        let header: Header = "Authorization: \tBearer x ".parse().unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.expose()),
            ("Authorization", &b"Bearer x"[..])
        );
        assert!(!format!("{header:?}").contains("Bearer"));
        for text in ["", "x", ": y", "a b: c", "a: b\r\nc: d", "a: \u{1}", "Content-Length: 3"] {
            assert!(text.parse::<Header>().is_err(), "{text:?}");
        }
    }
}
