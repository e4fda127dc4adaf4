//! Signature algorithms.

use std::fmt;
use std::str::FromStr;

/// Signature algorithms of RFC 7518 and RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// Ed25519 (`EdDSA`).
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA-2048, PKCS #1 v1.5, SHA-256: the algorithm of Azure's tokens.
    #[default]
    Rs256,
}

impl Algorithm {
    /// Returns the `alg` value (RFC 7518 section 3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let all = [Self::EdDsa, Self::Es256, Self::Rs256];
        let named = all.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text));
        named.ok_or_else(|| KeyError::UnknownAlgorithm(text.to_owned()))
    }
}

/// Reasons why there is no signing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The certificate could not be made.
    #[error("cannot make the certificate of a signing key: {0}")]
    Certificate(String),
    /// The library could not generate a key.
    #[error("cannot generate a key for {0}")]
    Generate(Algorithm),
    /// The library refused a key.
    #[error("aws-lc-rs refuses the private key for {0}")]
    Rejected(Algorithm),
    /// No algorithm has this name.
    #[error("`{0}` is not a signature algorithm; use RS256, ES256 or EdDSA")]
    UnknownAlgorithm(String),
}
