//! Signatures of digests, and their verification (RFC 7518 section 3).

use aws_lc_rs::digest::{Algorithm as Hash, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256K1_SHA256_FIXED, ECDSA_P384_SHA384_FIXED,
    ECDSA_P521_SHA512_FIXED, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaParameters, RsaSignatureEncoding,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::material::{UNCOMPRESSED, decode, ecdsa};
use super::refusal::KeyRefusal;
use crate::service::world::record::{Curve, KeyContent, PublicKey};

/// A signature algorithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignatureAlgorithm {
    name: &'static str,
    hash: &'static Hash,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug)]
enum Scheme {
    Ecdsa(Curve),
    Rsa(&'static RsaSignatureEncoding, &'static RsaParameters),
}

/// Names of the algorithms, for messages.
pub(super) const NAMES: &str =
    "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES256K, ES384 and ES512";

const fn algorithm(name: &'static str, hash: &'static Hash, scheme: Scheme) -> SignatureAlgorithm {
    SignatureAlgorithm { name, hash, scheme }
}

fn algorithms() -> [SignatureAlgorithm; 10] {
    use Scheme::{Ecdsa, Rsa};
    [
        algorithm("RS256", &SHA256, Rsa(&RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256)),
        algorithm("RS384", &SHA384, Rsa(&RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384)),
        algorithm("RS512", &SHA512, Rsa(&RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512)),
        algorithm("PS256", &SHA256, Rsa(&RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256)),
        algorithm("PS384", &SHA384, Rsa(&RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384)),
        algorithm("PS512", &SHA512, Rsa(&RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512)),
        algorithm("ES256", &SHA256, Ecdsa(Curve::P256)),
        algorithm("ES256K", &SHA256, Ecdsa(Curve::P256K)),
        algorithm("ES384", &SHA384, Ecdsa(Curve::P384)),
        algorithm("ES512", &SHA512, Ecdsa(Curve::P521)),
    ]
}

impl SignatureAlgorithm {
    /// Returns the algorithm of this name.
    pub(super) fn of(name: Option<&str>) -> Result<Self, KeyRefusal> {
        let found = algorithms().into_iter().find(|known| Some(known.name) == name);
        found.ok_or(KeyRefusal::Algorithm(NAMES))
    }

    /// Checks that a key has the type and the curve for this algorithm. `id` names the key.
    pub(super) fn fits(
        self,
        public: &PublicKey,
        id: impl FnOnce() -> String,
    ) -> Result<(), KeyRefusal> {
        let algorithm = self.name;
        let mismatch =
            |id, kty, expected| Err(KeyRefusal::TypeMismatch { id, kty, algorithm, expected });
        match (self.scheme, public) {
            (Scheme::Rsa(..), PublicKey::Rsa { .. }) => Ok(()),
            (Scheme::Ecdsa(curve), PublicKey::Ec { crv, .. }) if curve == *crv => Ok(()),
            (Scheme::Ecdsa(curve), PublicKey::Ec { crv, .. }) => {
                let (curve, expected) = (crv.name(), curve.name());
                Err(KeyRefusal::CurveMismatch { id: id(), curve, algorithm, expected })
            }
            (Scheme::Rsa(..), PublicKey::Ec { .. }) => mismatch(id(), "EC", "RSA"),
            (Scheme::Ecdsa(_), PublicKey::Rsa { .. }) => mismatch(id(), "RSA", "EC"),
        }
    }

    fn digest(self, bytes: &[u8]) -> Result<Digest, KeyRefusal> {
        Digest::import_less_safe(bytes, self.hash).map_err(|_| KeyRefusal::DigestLength {
            algorithm: self.name,
            found: bytes.len(),
            expected: self.hash.output_len(),
        })
    }

    /// Signs a digest with a key that [`fits`](Self::fits).
    pub(super) fn sign(self, key: &KeyContent, digest: &[u8]) -> Result<Vec<u8>, KeyRefusal> {
        let (digest, pkcs8) = (self.digest(digest)?, key.private_key.0.expose());
        let signed = match self.scheme {
            Scheme::Ecdsa(curve) => EcdsaKeyPair::from_pkcs8(ecdsa(curve), pkcs8)
                .ok()
                .and_then(|key| key.sign_digest(&digest).ok())
                .map(|signature| signature.as_ref().to_vec()),
            Scheme::Rsa(encoding, _) => RsaKeyPair::from_pkcs8(pkcs8).ok().and_then(|key| {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(encoding, &digest, &mut signature).ok().map(|()| signature)
            }),
        };
        signed.ok_or(KeyRefusal::Failed)
    }

    /// Verifies the signature of a digest with the public half of a key that [`fits`](Self::fits).
    pub(super) fn verify(
        self,
        public: &PublicKey,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<bool, KeyRefusal> {
        let digest = self.digest(digest)?;
        let scheme: &'static dyn VerificationAlgorithm = match self.scheme {
            Scheme::Ecdsa(Curve::P256) => &ECDSA_P256_SHA256_FIXED,
            Scheme::Ecdsa(Curve::P256K) => &ECDSA_P256K1_SHA256_FIXED,
            Scheme::Ecdsa(Curve::P384) => &ECDSA_P384_SHA384_FIXED,
            Scheme::Ecdsa(Curve::P521) => &ECDSA_P521_SHA512_FIXED,
            Scheme::Rsa(_, parameters) => parameters,
        };
        let key = encoded(public).ok_or(KeyRefusal::Failed)?;
        Ok(UnparsedPublicKey::new(scheme, key).verify_digest(&digest, signature).is_ok())
    }
}

/// Encodes a public key as the library reads it: an uncompressed point, or a `SubjectPublicKeyInfo`.
fn encoded(public: &PublicKey) -> Option<Vec<u8>> {
    match public {
        PublicKey::Ec { x, y, .. } => {
            Some([&[UNCOMPRESSED][..], &decode(x.as_bytes())?, &decode(y.as_bytes())?].concat())
        }
        PublicKey::Rsa { n, e } => {
            let (n, e) = (decode(n.as_bytes())?, decode(e.as_bytes())?);
            let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&PublicKeyComponents { n, e }).ok()?;
            Some(der.as_ref().to_vec())
        }
    }
}
