//! Raw signatures: three algorithms, two libraries, one enum.
//!
//! The private key is parsed once, when the signer is made. `jsonwebtoken::encode` would parse the RSA key at
//! every call, which costs more than the signature itself (`docs/BENCHMARKING.md`).

use std::fmt;

use super::algorithm::{Algorithm, Backend, KeyError};
use crate::base::secret::Redacted;

/// A parsed private key. Many threads may sign with it at once.
pub struct Signer(Key);

enum Key {
    AwsEcdsa(aws_lc_rs::signature::EcdsaKeyPair),
    AwsEd25519(aws_lc_rs::signature::Ed25519KeyPair),
    AwsRsa(aws_lc_rs::signature::RsaKeyPair),
    RingEcdsa(ring::signature::EcdsaKeyPair),
    RingEd25519(ring::signature::Ed25519KeyPair),
    RingRsa(Box<ring::signature::RsaKeyPair>),
}

impl Signer {
    /// Parses `pkcs8` (RFC 5958, DER) for `algorithm`.
    ///
    /// # Errors
    /// Returns `Rejected` when the library refuses the key.
    pub fn new(backend: Backend, algorithm: Algorithm, pkcs8: &Redacted) -> Result<Self, KeyError> {
        let key = match backend {
            Backend::AwsLcRs => aws_key(algorithm, pkcs8.expose()),
            Backend::Ring => ring_key(algorithm, pkcs8.expose()),
        };
        key.map(Self).ok_or(KeyError::Rejected { backend, algorithm })
    }

    /// Signs `message` and returns the signature in the form that JWS (RFC 7515) carries. Returns `None` when
    /// the library fails, which neither library does with a key that it accepted.
    pub fn sign(&self, message: &[u8]) -> Option<Signature> {
        match &self.0 {
            Key::AwsEcdsa(key) => {
                let rng = aws_lc_rs::rand::SystemRandom::new();
                key.sign(&rng, message).ok().map(|signature| Signature::of(signature.as_ref()))
            }
            Key::AwsEd25519(key) => Some(Signature::of(key.sign(message).as_ref())),
            Key::AwsRsa(key) => {
                let (mut signature, rng) = (Signature::rsa(), aws_lc_rs::rand::SystemRandom::new());
                let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
                key.sign(padding, &rng, message, &mut signature.bytes).ok().map(|()| signature)
            }
            Key::RingEcdsa(key) => {
                let rng = ring::rand::SystemRandom::new();
                key.sign(&rng, message).ok().map(|signature| Signature::of(signature.as_ref()))
            }
            Key::RingEd25519(key) => Some(Signature::of(key.sign(message).as_ref())),
            Key::RingRsa(key) => {
                let (mut signature, rng) = (Signature::rsa(), ring::rand::SystemRandom::new());
                let padding = &ring::signature::RSA_PKCS1_SHA256;
                key.sign(padding, &rng, message, &mut signature.bytes).ok().map(|()| signature)
            }
        }
    }
}

fn aws_key(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Key> {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
    };
    match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Key::AwsEd25519),
        Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .ok()
            .map(Key::AwsEcdsa),
        Algorithm::Rs256 => RsaKeyPair::from_pkcs8(pkcs8).ok().map(Key::AwsRsa),
    }
}

fn ring_key(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Key> {
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
    };
    match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Key::RingEd25519),
        Algorithm::Es256 => {
            let rng = ring::rand::SystemRandom::new();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &rng);
            key.ok().map(Key::RingEcdsa)
        }
        Algorithm::Rs256 => {
            RsaKeyPair::from_pkcs8(pkcs8).ok().map(|key| Key::RingRsa(Box::new(key)))
        }
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
