//! Minting of tokens: claims, signature, response body.

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::body::{Token, TokenFields};
use super::claims::{Claims, ISSUER, Subject};
use super::keys::SigningKey;
use super::ring::{KeyRing, Keys};
use crate::base::assertion::SignError;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::TenantId;

/// Randomness for one token. Its opaque claims are made of it, so no two tokens are equal.
pub type Entropy = [u8; 48];

/// Reasons why no token was minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The token service refused to issue this token.
    #[error("the token service refuses: {error}")]
    Refused {
        /// `error` code of the answer (RFC 6749 section 5.2).
        error: String,
        /// `error_description` of the answer.
        description: String,
    },
    /// The token service did not answer, or its answer was no token answer.
    #[error("the token service gives no token: {0}")]
    Unavailable(String),
    /// The claims could not be serialised.
    #[error("cannot serialise the claims of a token")]
    Claims,
    /// The signature library failed.
    #[error("cannot sign a token")]
    Sign,
}

impl From<SignError> for MintError {
    fn from(_: SignError) -> Self {
        Self::Sign
    }
}

/// A source of tokens for the broker.
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// Mints a token at `now` for `subject` to present to `resource`. May take long: the broker calls it on
    /// mint lanes only.
    ///
    /// # Errors
    /// Returns a [`MintError`] when there is no token this time; the caller may try again.
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError>;
}

/// Mints tokens with the current key of a ring.
#[derive(Debug)]
pub struct Issuer {
    ring: Arc<KeyRing>,
    lifetime: Seconds,
}

impl Issuer {
    /// Time by which `nbf` precedes the mint, 300 s. Entra backdates its tokens as much, for clocks that lag.
    pub const BACKDATED: Seconds = Seconds(300);

    /// Longest token lifetime that can be set.
    pub const LIFETIME_MAX: Seconds = Seconds(366 * 86_400);

    /// Creates an issuer of tokens that expire `lifetime` after they are minted.
    pub const fn new(ring: Arc<KeyRing>, lifetime: Seconds) -> Self {
        Self { ring, lifetime }
    }

    /// Returns the `iss` of version 1 tokens of a tenant.
    pub fn url(tenant_id: TenantId) -> String {
        format!("{ISSUER}{tenant_id}/")
    }

    /// Returns the keys with which this issuer's tokens are signed and verified.
    pub fn keys(&self) -> Arc<Keys> {
        self.ring.keys()
    }

    /// Appends the token in JWS compact serialization (RFC 7515 section 7.1), signed with this key.
    fn append_jwt(
        key: &SigningKey,
        claims: &Claims<'_>,
        to: &mut Vec<u8>,
    ) -> Result<(), MintError> {
        let mut json = Vec::with_capacity(CLAIMS_BYTES);
        claims.append(&mut json).map_err(|_| MintError::Claims)?;
        let start = to.len();
        to.extend_from_slice(key.header().as_bytes());
        append_base64(&json, to)?;
        let signed = to.get(start..).unwrap_or_default();
        let signature = key.signer().sign(signed).ok_or(MintError::Sign)?;
        to.push(b'.');
        append_base64(signature.as_ref(), to)
    }
}

/// Usual length of claims as JSON, with resource ids of 150 bytes.
const CLAIMS_BYTES: usize = 1024;

fn append_base64(bytes: &[u8], to: &mut Vec<u8>) -> Result<(), MintError> {
    let start = to.len();
    // Four characters for three bytes, and room for the last group.
    to.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let free = to.get_mut(start..).unwrap_or_default();
    let encoded = BASE64_URL_SAFE_NO_PAD.encode_slice(bytes, free);
    to.truncate(start + encoded.map_err(|_| MintError::Claims)?);
    Ok(())
}

impl TokenSource for Issuer {
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError> {
        let (not_before, expires_on) = (now - Self::BACKDATED, now + self.lifetime);
        let (identifier, rest) = entropy.split_at(16);
        let [mut aio, mut rh, mut uti] = [[0; OPAQUE_CHARS_MAX]; 3];
        let opaque = [
            base64_text(entropy, &mut aio)?,
            base64_text(rest, &mut rh)?,
            base64_text(identifier, &mut uti)?,
        ];
        let claims = Claims { subject, resource, not_before, expires_on, opaque };
        let fields = TokenFields {
            client_id: &subject.client_id,
            resource,
            minted_at: now,
            not_before,
            expires_on,
        };
        let keys = self.ring.keys();
        Token::render(&fields, |body| Self::append_jwt(&keys.current, &claims, body))
    }
}

/// Length of the longest opaque claim, which has all of the entropy.
const OPAQUE_CHARS_MAX: usize = size_of::<Entropy>() / 3 * 4;

/// Writes the text to `buffer` and returns it.
fn base64_text<'a>(
    bytes: &[u8],
    buffer: &'a mut [u8; OPAQUE_CHARS_MAX],
) -> Result<&'a str, MintError> {
    let len = BASE64_URL_SAFE_NO_PAD.encode_slice(bytes, &mut *buffer).ok();
    let text = len.and_then(|len| str::from_utf8(buffer.get(..len)?).ok());
    text.ok_or(MintError::Claims)
}
