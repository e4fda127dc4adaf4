//! Minting of tokens: claims, signature, response body.

use std::fmt;
use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::body::{Token, TokenFields};
use super::claims::{Claims, Subject, claimed};
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
        format!("https://sts.windows.net/{tenant_id}/")
    }

    /// Returns the keys with which this issuer's tokens are signed and verified.
    pub fn keys(&self) -> Arc<Keys> {
        self.ring.keys()
    }

    fn jwt(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        not_before: UnixSeconds,
        expires_on: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<String, MintError> {
        let tenant_id = subject.tenant_id.to_string();
        let principal_id = subject.principal_id.to_string();
        let issuer = Self::url(subject.tenant_id);
        let [aio, rh, uti] = opaque(entropy);
        let claims = serde_json::to_vec(&Claims {
            aud: resource,
            iss: &issuer,
            iat: not_before.0,
            nbf: not_before.0,
            exp: expires_on.0,
            aio: &aio,
            appid: &subject.client_id.to_string(),
            appidacr: subject.proof.appidacr(),
            idp: &issuer,
            idtyp: "app",
            oid: &principal_id,
            rh: &format!("1.{rh}."),
            sub: &principal_id,
            tid: &tenant_id,
            uti: &uti,
            ver: "1.0",
            xms_az_rid: subject.caller_id.map(claimed).as_deref(),
            xms_mirid: subject.resource_id.map(claimed).as_deref(),
            xms_tcdt: subject.tenant_created.0,
        })
        .map_err(|_| MintError::Claims)?;
        self.sign(&claims)
    }

    /// Signs the claims and returns the token in JWS compact serialization (RFC 7515 section 7.1).
    fn sign(&self, claims: &[u8]) -> Result<String, MintError> {
        const SIGNATURE_CHARS: usize = 343; // RSA-2048's 256 bytes and the dot: the longest.
        let keys = self.ring.keys();
        let header = keys.current.header();
        let mut jwt =
            String::with_capacity(header.len() + claims.len().div_ceil(3) * 4 + SIGNATURE_CHARS);
        jwt.push_str(header);
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut jwt);
        let signature = keys.current.signer().sign(jwt.as_bytes()).ok_or(MintError::Sign)?;
        jwt.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(jwt)
    }
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
        let jwt = self.jwt(subject, resource, not_before, expires_on, entropy)?;
        Ok(Token::render(&TokenFields {
            jwt: &jwt,
            client_id: &subject.client_id,
            resource,
            minted_at: now,
            not_before,
            expires_on,
        }))
    }
}

/// Returns `aio`, `rh` and `uti`. Only Entra can read the real ones; these are random.
fn opaque(entropy: &Entropy) -> [String; 3] {
    let (uti, rest) = entropy.split_at(16);
    [
        BASE64_URL_SAFE_NO_PAD.encode(entropy),
        BASE64_URL_SAFE_NO_PAD.encode(rest),
        BASE64_URL_SAFE_NO_PAD.encode(uti),
    ]
}
