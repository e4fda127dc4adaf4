//! Body of a token answer, and the claims of its token.

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;

use super::keys::Keys;

/// A number, or a string of digits as some endpoints write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    pub(super) fn seconds(&self) -> Option<u64> {
        match self {
            Self::Plain(seconds) => Some(*seconds),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// The body of a token answer.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    pub(super) access_token: String,
    pub(super) client_id: Option<String>,
    pub(super) expires_in: Option<Number>,
    pub(super) expires_on: Option<Number>,
    pub(super) resource: Option<String>,
}

/// The claims that are checked.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    pub(super) aud: Audiences,
    pub(super) exp: u64,
    pub(super) appid: Option<String>,
    pub(super) iss: Option<String>,
    pub(super) oid: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) tid: Option<String>,
}

/// One audience or several (RFC 7519 section 4.1.3).
#[derive(Debug, Default, Deserialize)]
#[serde(from = "OneOrMany")]
pub(super) struct Audiences(pub(super) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Audiences {
    fn from(audiences: OneOrMany) -> Self {
        match audiences {
            OneOrMany::One(audience) => Self(vec![audience]),
            OneOrMany::Many(audiences) => Self(audiences),
        }
    }
}

pub(super) fn signed_claims(body: &[u8], keys: &Keys) -> Option<(Body, Claims)> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let header = decode_header(&body.access_token).ok()?;
    let key = keys.get(header.kid.as_deref()?)?;
    if !matches!(header.alg, Algorithm::EdDSA | Algorithm::ES256 | Algorithm::RS256) {
        return None;
    }
    let mut validation = Validation::new(header.alg);
    // These claims are checked here, each with its own counter.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let token = decode::<Claims>(&body.access_token, key, &validation).ok()?;
    Some((body, token.claims))
}
