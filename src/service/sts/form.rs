//! Forms: the body of a token request, and the query of a discovery request
//! (`application/x-www-form-urlencoded`).

use std::borrow::Cow;

use super::error::StsError;
use crate::base::http::{Encoded, pairs};

/// Greatest number of fields, more than any client sends. It bounds the search for repeats.
const FIELDS_MAX: usize = 64;

/// Decoded fields of a form, each at most once. Has no `Debug`, because a field may be a secret.
pub(super) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Parses a form. A field that occurs twice is refused, known or not, because two readers could choose
    /// different values.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, StsError> {
        let text = std::str::from_utf8(bytes).map_err(|_| StsError::Malformed)?;
        let mut form = Self(Vec::new());
        for (name, value) in pairs(text) {
            let (name, value) = (decoded(name)?, decoded(value)?);
            if form.0.iter().any(|(other, _)| *other == name) {
                return Err(StsError::Repeated(name.into_owned()));
            }
            if form.0.len() == FIELDS_MAX {
                return Err(StsError::Malformed);
            }
            form.0.push((name, value));
        }
        Ok(form)
    }

    /// Returns the value of a field. An empty value counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        Some(value.as_ref()).filter(|value| !value.is_empty())
    }

    /// Returns the value of a required field.
    pub(super) fn require(&self, name: &'static str) -> Result<&str, StsError> {
        self.get(name).ok_or(StsError::Missing(name))
    }
}

/// Decodes a name or a value.
pub(super) fn decoded(text: Encoded<'_>) -> Result<Cow<'_, str>, StsError> {
    text.decode().map_err(|_| StsError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_values_are_decoded_once() {
        let form = Form::parse(b"a=b+c%2B&%64=%2564&empty=&bare").ok().unwrap();
        assert_eq!(form.get("a"), Some("b c+"));
        assert_eq!(form.get("d"), Some("%64"));
        assert_eq!((form.get("empty"), form.get("bare"), form.get("x")), (None, None, None));
        assert_eq!(form.require("x"), Err(StsError::Missing("x")));
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused_however_it_is_spelt() {
        let repeated = Form::parse(b"client_id=a&client%5Fid=b").map(|_| ());
        assert_eq!(repeated, Err(StsError::Repeated("client_id".to_owned())));
        assert_eq!(Form::parse(b"a=%FF").map(|_| ()), Err(StsError::Malformed));
        let flood = (0..65).map(|at| format!("f{at}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(Form::parse(flood.as_bytes()).map(|_| ()), Err(StsError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>, text in "[a-c=&%+0-9]{0,60}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                if let Ok(form) = Form::parse(bytes) {
                    let _ = form.get("a");
                }
            }
        }
    }
}
