//! Verification of bearer tokens that this service issued (RFC 6750, RFC 7519 section 7.2).

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;

use super::jwks::{Jwk, JwkParameters};
use super::ring::KeyRing;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::{ClientId, PrincipalId, TenantId};

/// Greatest tolerated difference between the clocks of issuer and verifier.
const LEEWAY: Seconds = Seconds(300);

/// Claims of a valid token: its subject and its audience. The service that received the token decides whether
/// they are acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// `aud`, exactly as the token has it.
    pub audience: String,
    /// `iss`.
    pub issuer: String,
    /// `tid`.
    pub tenant_id: TenantId,
    /// `appid`.
    pub client_id: ClientId,
    /// `oid`.
    pub principal_id: PrincipalId,
}

/// Reasons why a token is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// The token is not a JWT, or lacks claims of an access token.
    #[error("the token is not a well-formed access token")]
    Malformed,
    /// No published key has this `kid`, or the key's algorithm differs from the header's.
    #[error("the token is not signed with a key of this issuer")]
    UnknownKey,
    /// The signature does not match.
    #[error("the signature of the token is wrong")]
    Signature,
    /// The token has expired.
    #[error("the token expired at {0}")]
    Expired(UnixSeconds),
    /// The token is not valid yet.
    #[error("the token is not valid before {0}")]
    NotYetValid(UnixSeconds),
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    tid: TenantId,
    appid: ClientId,
    oid: PrincipalId,
    nbf: u64,
    exp: u64,
}

/// Verifies tokens with the keys of a ring.
#[derive(Clone, Debug)]
pub struct Verifier {
    ring: Arc<KeyRing>,
}

impl Verifier {
    /// Creates a verifier that accepts tokens signed with any published key of `ring`.
    pub const fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring }
    }

    /// Checks signature and time. The algorithm comes from the key, not from the token's header. So neither
    /// `none` nor a public key used as a shared secret passes (RFC 8725 section 3.1). Keys in the token
    /// itself (`jwk`, `jku`, `x5u`) are ignored.
    ///
    /// # Errors
    /// Returns the first check that failed, as a [`BearerError`].
    pub fn verify(&self, jwt: &str, now: UnixSeconds) -> Result<Bearer, BearerError> {
        let header = jsonwebtoken::decode_header(jwt).map_err(|_| BearerError::Malformed)?;
        let kid = header.kid.ok_or(BearerError::UnknownKey)?;
        let keys = self.ring.keys();
        let key = keys.published().map(super::SigningKey::jwk).find(|key| key.kid == kid);
        let key = key.ok_or(BearerError::UnknownKey)?;
        let algorithm: jsonwebtoken::Algorithm =
            key.alg.parse().map_err(|_| BearerError::UnknownKey)?;
        if header.alg != algorithm {
            return Err(BearerError::UnknownKey);
        }
        let claims = checked(jwt, key, algorithm)?;
        in_time(&claims, now)?;
        Ok(Bearer {
            audience: claims.aud,
            issuer: claims.iss,
            tenant_id: claims.tid,
            client_id: claims.appid,
            principal_id: claims.oid,
        })
    }
}

fn checked(
    jwt: &str,
    key: &Jwk,
    algorithm: jsonwebtoken::Algorithm,
) -> Result<Claims, BearerError> {
    let key = decoding_key(key).ok_or(BearerError::UnknownKey)?;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    // `in_time` checks the time, by the caller's clock; the service checks the audience.
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let decoded = jsonwebtoken::decode::<Claims>(jwt, &key, &validation);
    let failed = |error: jsonwebtoken::errors::Error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => BearerError::Signature,
        _ => BearerError::Malformed,
    };
    Ok(decoded.map_err(failed)?.claims)
}

fn in_time(claims: &Claims, now: UnixSeconds) -> Result<(), BearerError> {
    let (not_before, expires) = (UnixSeconds(claims.nbf), UnixSeconds(claims.exp));
    if expires + LEEWAY <= now {
        return Err(BearerError::Expired(expires));
    }
    if now + LEEWAY < not_before {
        return Err(BearerError::NotYetValid(not_before));
    }
    Ok(())
}

fn decoding_key(key: &Jwk) -> Option<DecodingKey> {
    match &key.parameters {
        JwkParameters::Ec { x, y, .. } => DecodingKey::from_ec_components(x, y).ok(),
        JwkParameters::Okp { x, .. } => {
            // Checked here because the library accepts any text.
            BASE64_URL_SAFE_NO_PAD.decode(x).ok()?;
            DecodingKey::from_ed_components(x).ok()
        }
        JwkParameters::Rsa { n, e } => DecodingKey::from_rsa_components(n, e).ok(),
    }
}
