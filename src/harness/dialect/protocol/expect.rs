//! The rules by which an answer counts as a success.

use std::str::FromStr;

use crate::harness::dialect::outcome::Cause;

/// A condition on the answers to a plain request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Expect {
    /// The body contains this text.
    Body(String),
    /// The status is this one, or another expected one.
    Status(u16),
}

/// A text that is not a valid condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nothing that can be expected; write status=CODE or body=TEXT, like status=204")]
pub struct ExpectError(String);

impl FromStr for Expect {
    type Err = ExpectError;

    fn from_str(text: &str) -> Result<Self, ExpectError> {
        let demand = match text.split_once('=') {
            Some(("body", text)) if !text.is_empty() => Some(Self::Body(text.to_owned())),
            // RFC 9110 section 15: three digits. A status below 200 precedes the answer.
            Some(("status", code)) => {
                code.parse().ok().filter(|code| (200..=599).contains(code)).map(Self::Status)
            }
            _ => None,
        };
        demand.ok_or_else(|| ExpectError(text.to_owned()))
    }
}

impl TryFrom<String> for Expect {
    type Error = ExpectError;

    fn try_from(text: String) -> Result<Self, ExpectError> {
        text.parse()
    }
}

/// Returns the fault of an answer to a plain request, if there is one. Any 2xx status is good unless
/// `expected` says more.
pub(crate) fn fault_of_plain(expected: &[Expect], status: u16, body: &[u8]) -> Option<Cause> {
    let mut codes = expected.iter().filter(|demand| matches!(demand, Expect::Status(_))).peekable();
    let good = match codes.peek() {
        None => (200..=299).contains(&status),
        Some(_) => codes.any(|demand| *demand == Expect::Status(status)),
    };
    if !good {
        return Some(Cause::Status(status));
    }
    let missing = expected.iter().any(|demand| match demand {
        Expect::Body(text) => !holds(body, text.as_bytes()),
        Expect::Status(_) => false,
    });
    missing.then_some(Cause::NoText)
}

/// Returns the fault of an answer that should hold a token, if there is one. The status must be
/// 200, and the body a JSON object whose members `names` are non-empty strings.
pub(crate) fn fault_of_token(names: &[&str], status: u16, body: &[u8]) -> Option<Cause> {
    if status != 200 {
        return Some(Cause::Status(status));
    }
    let whole = names.iter().all(|name| has_text(body, name.as_bytes()));
    (!whole).then_some(Cause::NoToken)
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|part| part == text)
}

/// Returns true if the JSON object `body` has a member `name` that is a non-empty string.
///
/// This function runs under load. It allocates nothing. It reads only up to the member, and the
/// last byte, which shows an object that was cut off. It follows strings and nesting, so that
/// neither a string nor an inner object can pass for the member.
fn has_text(body: &[u8], name: &[u8]) -> bool {
    let mut rest = body.trim_ascii();
    if !(rest.starts_with(b"{") && rest.ends_with(b"}")) {
        return false;
    }
    let mut depth = 0_usize;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let Some((text, after)) = text(rest) else { return false };
                rest = after;
                if depth == 1 && text == name && is_text_next(after) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// Returns the raw string whose opening quote has been read, and the text after its closing quote.
fn text(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

/// Returns true if a colon and a non-empty string follow.
fn is_text_next(after: &[u8]) -> bool {
    let value = after.trim_ascii_start().strip_prefix(b":");
    let text = value.and_then(|value| value.trim_ascii_start().strip_prefix(b"\""));
    text.and_then(<[u8]>::first).is_some_and(|byte| *byte != b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(body: &str) -> Option<Cause> {
        fault_of_token(&["access_token"], 200, body.as_bytes())
    }

    #[test]
    fn a_token_is_a_member_of_the_object_that_is_a_text_and_not_empty() {
        for body in [
            r#"{"access_token":"eyJ"}"#,
            "\r\n { \"a\" : [ { } ] , \"access_token\" :\t\"x\" }",
            r#"{"token_type":"Bearer","note":"\"{[\\","access_token":"x"}"#,
        ] {
            assert_eq!(token(body), None, "{body}");
        }
        for body in [
            "",
            "hello",
            "{}",
            r#""access_token":"x""#,
            r#"["access_token","x"]"#,
            r#"{"error":"invalid_client"}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":null}"#,
            r#"{"access_token":{"access_token":"x"}}"#,
            r#"{"access_token"}"#,
            r#"{"error":"access_token\":\"x"}"#,
            r#"{"error":"\"access_token\":\"x\""}"#,
            r#"{"access_tokens":"x"}"#,
            r#"{"cut":"off"#,
            r#"{"access_token":"#,
            r#"{"access_token":"eyJ0eX"#,
            r#"{"access_token":"eyJ","expires_in":"35"#,
        ] {
            assert_eq!(token(body), Some(Cause::NoToken), "{body}");
        }
        assert_eq!(fault_of_token(&[], 404, b""), Some(Cause::Status(404)));
    }

    #[test]
    fn every_member_of_a_credential_is_needed() {
        let names = ["AccessKeyId", "Token"];
        let fault = |body: &str| fault_of_token(&names, 200, body.as_bytes());
        assert_eq!(fault(r#"{"Token":"b","AccessKeyId":"a"}"#), None);
        assert_eq!(fault(r#"{"AccessKeyId":"a"}"#), Some(Cause::NoToken));
    }

    fn plain(expected: &[&str], status: u16) -> Option<Cause> {
        let expected: Vec<Expect> = expected.iter().map(|text| text.parse().unwrap()).collect();
        fault_of_plain(&expected, status, b"all is well")
    }

    #[test]
    fn a_plain_get_is_good_with_any_2xx_or_with_what_is_expected() {
        assert_eq!((plain(&[], 299), plain(&[], 300)), (None, Some(Cause::Status(300))));
        let codes = ["status=404", "status=204"];
        assert_eq!((plain(&codes, 204), plain(&codes, 404)), (None, None));
        assert_eq!(plain(&codes, 200), Some(Cause::Status(200)));
        assert_eq!(plain(&["body=is", "body=well"], 200), None);
        assert_eq!(plain(&["body=is", "body=ill"], 200), Some(Cause::NoText));
        assert_eq!(plain(&["body=well"], 500), Some(Cause::Status(500)));
    }

    #[test]
    fn what_cannot_be_expected_is_refused() {
        for text in ["", "204", "status=", "status=20", "status=2xx", "status=100", "body=", "x=y"]
        {
            assert!(text.parse::<Expect>().is_err(), "{text}");
        }
        assert_eq!("body=a=b".parse(), Ok(Expect::Body("a=b".to_owned())));
    }
}
