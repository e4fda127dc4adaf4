//! Raw signatures by aws-lc-rs: three algorithms, one enum.
//!
//! The private key is parsed once, when the signer is made. `jsonwebtoken::encode` would parse the RSA key at
//! every call, which costs more than the signature itself (`docs/BENCHMARKING.md`).

use std::fmt;

use super::algorithm::{Algorithm, KeyError};
use crate::base::secret::Redacted;

/// A parsed private key. Many threads may sign with it at once.
pub struct Signer(Key);

enum Key {
    Ecdsa(aws_lc_rs::signature::EcdsaKeyPair),
    Ed25519(aws_lc_rs::signature::Ed25519KeyPair),
    Rsa(aws_lc_rs::signature::RsaKeyPair),
}

impl Signer {
    /// Parses `pkcs8` (RFC 5958, DER) for `algorithm`.
    ///
    /// # Errors
    /// Returns `Rejected` when the library refuses the key.
    pub fn new(algorithm: Algorithm, pkcs8: &Redacted) -> Result<Self, KeyError> {
        parse(algorithm, pkcs8.expose()).map(Self).ok_or(KeyError::Rejected(algorithm))
    }

    /// Signs `message` and returns the signature in the form that JWS (RFC 7515) carries. Returns `None` when
    /// the library fails, which it does not do with a key that it accepted.
    pub fn sign(&self, message: &[u8]) -> Option<Signature> {
        match &self.0 {
            Key::Ecdsa(key) => {
                // In two steps, without the contexts that the library makes for both in one.
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message);
                key.sign_digest(&digest).ok().map(|signature| Signature::of(signature.as_ref()))
            }
            Key::Ed25519(key) => Some(Signature::of(key.sign(message).as_ref())),
            Key::Rsa(key) => {
                let (mut signature, rng) = (Signature::rsa(), aws_lc_rs::rand::SystemRandom::new());
                let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
                key.sign(padding, &rng, message, &mut signature.bytes).ok().map(|()| signature)
            }
        }
    }
}

fn parse(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Key> {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
    };
    match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Key::Ed25519),
        Algorithm::Es256 => {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok().map(Key::Ecdsa)
        }
        Algorithm::Rs256 => RsaKeyPair::from_pkcs8(pkcs8).ok().map(Key::Rsa),
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// A signature on the stack. RSA-2048 signatures are the longest: 256 bytes.
#[derive(Debug)]
pub struct Signature {
    bytes: [u8; RSA_2048_LEN],
    len: usize,
}

const RSA_2048_LEN: usize = 256;

impl Signature {
    const fn rsa() -> Self {
        Self { bytes: [0; RSA_2048_LEN], len: RSA_2048_LEN }
    }

    fn of(short: &[u8]) -> Self {
        let mut bytes = [0; RSA_2048_LEN];
        for (to, from) in bytes.iter_mut().zip(short) {
            *to = *from;
        }
        Self { bytes, len: short.len().min(RSA_2048_LEN) }
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
