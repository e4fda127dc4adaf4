//! Checking a bearer token that this service issued (RFC 6750, RFC 7519 section 7.2).

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;

use super::jwks::{Jwk, JwkParameters};
use super::ring::KeyRing;
use crate::clock::{Seconds, UnixSeconds};
use crate::ids::{ClientId, PrincipalId, TenantId};

/// How far the clocks of issuer and verifier may be apart.
const LEEWAY: Seconds = Seconds(300);

/// Whom a valid token speaks for, and what it was meant for; whether that is right is for the service
/// that was shown it to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// `aud`, exactly as it stands there.
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

/// Why a token is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// Not a JWT, or not with the claims of an access token.
    #[error("the token is not a well-formed access token")]
    Malformed,
    /// No published key has its `kid`, or the key is for another algorithm than the header says.
    #[error("the token is not signed with a key of this issuer")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the signature of the token is wrong")]
    Signature,
    /// Its time is over.
    #[error("the token expired at {0}")]
    Expired(UnixSeconds),
    /// Its time has not come.
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

/// Checks tokens against the keys of a ring.
#[derive(Clone, Debug)]
pub struct Verifier {
    ring: Arc<KeyRing>,
}

impl Verifier {
    /// A verifier of tokens signed with any published key of `ring`.
    pub const fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring }
    }

    /// Checks signature and time. The algorithm is the key's, not the header's: `none`, and a public
    /// key taken for a shared secret, come to nothing (RFC 8725 section 3.1). Keys that the token
    /// brings itself (`jwk`, `jku`, `x5u`) are not looked at.
    ///
    /// # Errors
    /// See [`BearerError`].
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
    // Time is checked below, by the clock that was given; the audience by the service.
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
            // Checked here since the library takes any text.
            BASE64_URL_SAFE_NO_PAD.decode(x).ok()?;
            DecodingKey::from_ed_components(x).ok()
        }
        JwkParameters::Rsa { n, e } => DecodingKey::from_rsa_components(n, e).ok(),
    }
}
