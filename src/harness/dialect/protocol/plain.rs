//! Plain requests: their method, their header fields and their body.

use std::fmt;
use std::str::FromStr;

use super::expect::Expect;
use super::header::Header;
use crate::base::secret::Redacted;

/// A plain request, and the conditions on its answers.
#[derive(Debug, Default)]
pub struct Plain {
    /// Method of the request.
    pub method: Method,
    /// Header fields beside those that the generator sets.
    pub headers: Vec<Header>,
    /// Body of the request, which may hold a credential.
    pub body: Option<Redacted>,
    /// Conditions on the answers.
    pub expect: Vec<Expect>,
}

impl Plain {
    /// Returns true if one of the given header fields has this name.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.is(name))
    }

    /// Returns the length of the body, if the request has to tell it.
    pub(crate) fn content_length(&self) -> Option<usize> {
        // RFC 9110 section 8.6: a method that expects content has a length, even of zero.
        let expects = matches!(self.method.as_str(), "PATCH" | "POST" | "PUT");
        let length = self.body.as_ref().map(|body| body.expose().len());
        length.or(expects.then_some(0))
    }
}

/// Method of a request, in capitals.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Method(String);

/// The reason why a text is not a method that can be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// The method asks for a tunnel.
    #[error("CONNECT opens a tunnel in place of an answer; write another method")]
    Connect,
    /// The text does not have the form of a method.
    #[error("`{0}` is not a method; write a word like POST")]
    Form(String),
}

impl Method {
    /// Returns the method of requests with a body, if none is named.
    pub(crate) fn post() -> Self {
        Self("POST".to_owned())
    }

    /// Returns the name of the method.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if answers have no body.
    pub(crate) fn is_head(&self) -> bool {
        self.0 == "HEAD"
    }
}

impl Default for Method {
    fn default() -> Self {
        Self("GET".to_owned())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        // RFC 9110 section 9.1 allows more characters, which no method in use has.
        let fits = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
        if text.is_empty() || !text.bytes().all(fits) {
            return Err(MethodError::Form(text.to_owned()));
        }
        match text.to_ascii_uppercase() {
            connect if connect == "CONNECT" => Err(MethodError::Connect),
            name => Ok(Self(name)),
        }
    }
}

impl TryFrom<String> for Method {
    type Error = MethodError;

    fn try_from(text: String) -> Result<Self, MethodError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_one_word_that_asks_for_an_answer() {
        for (text, method) in [("POST", "POST"), ("delete", "DELETE"), ("M-SEARCH", "M-SEARCH")] {
            assert_eq!(text.parse::<Method>().unwrap().as_str(), method);
        }
        for text in ["", "PO ST", "GET /x HTTP/1.1\r\nA: b", "G\0", "connect"] {
            assert!(text.parse::<Method>().is_err(), "{text:?}");
        }
        assert_eq!(Method::default().to_string(), "GET");
    }

    #[test]
    fn a_length_is_told_where_a_server_waits_for_one() {
        let plain = |method: &str, body: Option<&str>| Plain {
            method: method.parse().unwrap(),
            body: body.map(|body| Redacted::new(body.as_bytes().to_vec())),
            ..Plain::default()
        };
        for (method, body, length) in [
            ("GET", None, None),
            ("GET", Some("ab"), Some(2)),
            ("POST", None, Some(0)),
            ("PUT", Some(""), Some(0)),
            ("DELETE", None, None),
            ("DELETE", Some("a"), Some(1)),
        ] {
            assert_eq!(plain(method, body).content_length(), length, "{method}");
        }
    }
}
