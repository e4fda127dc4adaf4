//! Response that carries a token: the all-strings object of Entra's v1 token endpoint, which IMDS passes on.
//! It is rendered once; an answer only inserts the digits of `expires_in`.

use std::convert::Infallible;

use serde::Deserialize;

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::{ClientId, GUID_CHARS};

/// Usual length of a response whose token is signed with RS256.
const BODY_BYTES: usize = 2304;

/// Inputs of [`Token::render`].
pub(super) struct TokenFields<'a> {
    pub(super) client_id: &'a ClientId,
    pub(super) resource: &'a str,
    pub(super) minted_at: UnixSeconds,
    pub(super) not_before: UnixSeconds,
    pub(super) expires_on: UnixSeconds,
}

/// Fields that mintbench reads of a token service's answer.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Number,
    #[serde(default)]
    expires_on: Option<Number>,
    #[serde(default)]
    not_before: Option<Number>,
}

/// A number, or a string with a number in it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Quoted(String),
}

impl Number {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Plain(number) => Some(*number),
            Self::Quoted(text) => text.parse().ok(),
        }
    }
}

/// Fields of a token's response, for answers in another form.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct TokenParts<'a> {
    pub(crate) access_token: &'a str,
    pub(crate) client_id: &'a str,
    /// Seconds since 1970, as text.
    pub(crate) expires_on: &'a str,
    /// Likewise.
    pub(crate) not_before: &'a str,
    pub(crate) resource: &'a str,
}

/// A minted token, stored as the response that hands it out.
#[derive(Clone)]
pub struct Token {
    /// Response body without the digits of `expires_in`.
    body: Box<[u8]>,
    /// Position of those digits in `body`.
    digits_at: usize,
    /// Position of the JWT in `body`.
    jwt: std::ops::Range<usize>,
    /// Time from the mint to `expires_on`.
    life: Seconds,
    expires_on: UnixSeconds,
}

impl Token {
    /// Reads the token from a token service's answer (RFC 6749 section 5.1), received at `now`. Returns
    /// `None` if the answer holds no token or the token has expired. Numbers may be written as strings, as in
    /// answers of Entra's v1.0 endpoint.
    pub fn from_answer(
        body: &[u8],
        client_id: ClientId,
        resource: &str,
        now: UnixSeconds,
    ) -> Option<Self> {
        let answer: Answer = serde_json::from_slice(body).ok()?;
        // The JWT is copied into a JSON string without escaping.
        let is_jwt_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
        let jwt = answer.access_token;
        let lives = Seconds(answer.expires_in.number()?);
        let expires_on = match answer.expires_on {
            Some(moment) => UnixSeconds(moment.number()?),
            None => now + lives,
        };
        if jwt.is_empty() || !jwt.bytes().all(is_jwt_byte) || expires_on <= now {
            return None;
        }
        let not_before = answer.not_before.and_then(|moment| moment.number());
        let not_before = not_before.map_or(now, UnixSeconds);
        let fields =
            TokenFields { client_id: &client_id, resource, minted_at: now, not_before, expires_on };
        let append_jwt = |body: &mut Vec<u8>| {
            body.extend_from_slice(jwt.as_bytes());
            Ok::<_, Infallible>(())
        };
        Self::render(&fields, append_jwt).ok()
    }

    /// Renders the fields in alphabetical order, as real IMDS does: clients that map `expires_in` and
    /// `expires_on` to one property take the last. `append_jwt` appends the JWT. `resource` needs no JSON
    /// escapes: world files with such names are refused.
    ///
    /// # Errors
    /// Returns the error of `append_jwt`.
    pub(super) fn render<E>(
        fields: &TokenFields<'_>,
        append_jwt: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let TokenFields { client_id, resource, minted_at, not_before, expires_on } = *fields;
        let mut body = Vec::with_capacity(BODY_BYTES);
        body.extend_from_slice(br#"{"access_token":""#);
        let jwt_start = body.len();
        append_jwt(&mut body)?;
        let jwt = jwt_start..body.len();
        let mut text = [0; GUID_CHARS];
        for part in [r#"","client_id":""#, client_id.encode(&mut text), r#"","expires_in":""#] {
            body.extend_from_slice(part.as_bytes());
        }
        let digits_at = body.len();
        // Entra's `ext_expires_in` is one second less than the lifetime, and does not count down.
        let life = expires_on.since(minted_at);
        let [mut end, mut extended, mut start]: [itoa::Buffer; 3] = Default::default();
        for (name, value) in [
            (r#"","expires_on":""#, end.format(expires_on.0)),
            (r#"","ext_expires_in":""#, extended.format(life.0.saturating_sub(1))),
            (r#"","not_before":""#, start.format(not_before.0)),
            (r#"","resource":""#, resource),
            (r#"","token_type":"Bearer"}"#, ""),
        ] {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        Ok(Self { digits_at, jwt, body: body.into_boxed_slice(), life, expires_on })
    }

    /// Returns the expiry (`exp`, `expires_on`).
    pub const fn expires_on(&self) -> UnixSeconds {
        self.expires_on
    }

    /// Returns the JWT, in compact serialization.
    pub fn jwt(&self) -> &str {
        self.body
            .get(self.jwt.clone())
            .and_then(|jwt| std::str::from_utf8(jwt).ok())
            .unwrap_or_default()
    }

    /// Returns the fields of the response. Without the digits of `expires_in` it is JSON too.
    pub(crate) fn parts(&self) -> TokenParts<'_> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the seconds left at `now`. The value never exceeds the token's lifetime, even if the clock was
    /// set back since the mint. It is never 0, which Python clients take for "missing".
    pub fn expires_in(&self, now: UnixSeconds) -> Seconds {
        Seconds(self.expires_on.since(now).min(self.life).0.max(1))
    }

    /// Returns the response body as of `now`, in one allocation of its exact length.
    #[inline]
    pub fn body(&self, now: UnixSeconds) -> Vec<u8> {
        self.with_body(now, |parts, len| {
            let mut body = Vec::with_capacity(len);
            for part in parts {
                body.extend_from_slice(part);
            }
            body
        })
    }

    /// Calls `with` with the parts of the response body as of `now`, in order, and with its length.
    #[inline]
    pub fn with_body<T>(&self, now: UnixSeconds, with: impl FnOnce([&[u8]; 3], usize) -> T) -> T {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self.expires_in(now).0).as_bytes();
        let (head, tail) = self.body.split_at_checked(self.digits_at).unwrap_or_default();
        with([head, digits, tail], self.body.len() + digits.len())
    }
}

impl std::fmt::Debug for Token {
    /// Omits the token itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_on", &self.expires_on).finish_non_exhaustive()
    }
}
