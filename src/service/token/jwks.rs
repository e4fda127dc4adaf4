//! Published key set (RFC 7517). Its types hold public fields only.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::Serialize;

/// A public key. No field of this type can hold a private value.
#[derive(Clone, Debug, Serialize)]
pub struct Jwk {
    /// Use of the key: always `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// Algorithm of the signatures that this key makes.
    pub alg: &'static str,
    /// Name of the key in token headers; equals `x5t`, as in Entra's key sets.
    pub kid: String,
    /// base64url SHA-1 of the certificate (RFC 7517 section 4.8).
    pub x5t: String,
    /// The certificate, standard base64 DER (RFC 7517 section 4.7).
    pub x5c: [String; 1],
    /// Fields that depend on the kind of key.
    #[serde(flatten)]
    pub parameters: JwkParameters,
}

/// Key parameters of RFC 7518 section 6 and RFC 8037 section 2; all values base64url.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kty")]
pub enum JwkParameters {
    /// A point on P-256.
    #[serde(rename = "EC")]
    Ec {
        /// `P-256`.
        crv: &'static str,
        /// First coordinate, 32 bytes.
        x: String,
        /// Second coordinate, 32 bytes.
        y: String,
    },
    /// An Ed25519 public key.
    #[serde(rename = "OKP")]
    Okp {
        /// `Ed25519`.
        crv: &'static str,
        /// The key, 32 bytes.
        x: String,
    },
    /// An RSA public key.
    #[serde(rename = "RSA")]
    Rsa {
        /// Modulus, big-endian.
        n: String,
        /// Public exponent, big-endian.
        e: String,
    },
}

impl JwkParameters {
    pub(super) fn okp(key: &[u8]) -> Self {
        Self::Okp { crv: "Ed25519", x: BASE64_URL_SAFE_NO_PAD.encode(key) }
    }

    /// Reads an uncompressed point (SEC 1 section 2.3.3): the byte 4, then x, then y.
    pub(super) fn p256(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let encode = |half| BASE64_URL_SAFE_NO_PAD.encode(half);
        (y.len() == 32).then(|| Self::Ec { crv: "P-256", x: encode(x), y: encode(y) })
    }

    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let encode = |number| BASE64_URL_SAFE_NO_PAD.encode(number);
        Self::Rsa { n: encode(modulus), e: encode(exponent) }
    }
}

/// A JWK set (RFC 7517 section 5).
#[derive(Clone, Debug, Serialize)]
pub struct JwkSet<'a> {
    /// Every key that may have signed a token that is still valid, and the next key.
    pub keys: Vec<&'a Jwk>,
}
