//! Signing keys. Each has a self-signed certificate; only the public half is published.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::algorithm::{Algorithm, KeyError};
use super::jwks::{Jwk, JwkParameters};
use super::signer::Signer;
use crate::base::clock::UnixSeconds;
use crate::base::secret::Redacted;

/// The parts of a signing key that are stored.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// Algorithm of its signatures.
    pub algorithm: Algorithm,
    /// Private key (RFC 5958, DER).
    pub pkcs8: Redacted,
    /// Certificate (X.509, DER). Its thumbprint is the name of the key.
    pub certificate: Vec<u8>,
}

impl KeyMaterial {
    /// Generates a key and its certificate, valid from `now`.
    ///
    /// # Errors
    /// Returns `Generate` or `Certificate` when a library fails.
    pub fn generate(algorithm: Algorithm, now: UnixSeconds) -> Result<Self, KeyError> {
        let pkcs8 = generate_pkcs8(algorithm).ok_or(KeyError::Generate(algorithm))?;
        Self::certify(algorithm, pkcs8, now)
    }

    /// Takes a private key and makes its certificate, valid from `now`. The name of the key comes from the
    /// certificate, so the same private key gets another name each time.
    ///
    /// # Errors
    /// Returns `Certificate` when the key cannot be certified.
    pub fn certify(
        algorithm: Algorithm,
        pkcs8: Redacted,
        now: UnixSeconds,
    ) -> Result<Self, KeyError> {
        let certificate = self_signed(algorithm, &pkcs8, now)?;
        Ok(Self { algorithm, pkcs8, certificate })
    }
}

/// A parsed key that is ready to sign tokens.
#[derive(Debug)]
pub struct SigningKey {
    algorithm: Algorithm,
    signer: Signer,
    /// Encoded JOSE header and its dot: the same in every token of this key.
    header: String,
    jwk: Jwk,
}

impl SigningKey {
    /// Generates a key and its certificate, valid from `now`.
    ///
    /// # Errors
    /// Returns `Generate`, `Certificate` or `Rejected` when a library fails.
    pub fn generate(algorithm: Algorithm, now: UnixSeconds) -> Result<Self, KeyError> {
        Self::new(&KeyMaterial::generate(algorithm, now)?)
    }

    /// Parses a stored key, so that it is ready to sign.
    ///
    /// # Errors
    /// Returns `Rejected` when the library refuses the private key.
    pub fn new(material: &KeyMaterial) -> Result<Self, KeyError> {
        let KeyMaterial { algorithm, pkcs8, certificate } = material;
        let algorithm = *algorithm;
        let signer = Signer::new(algorithm, pkcs8)?;
        let parameters =
            public_half(algorithm, pkcs8.expose()).ok_or(KeyError::Rejected(algorithm))?;
        let kid = thumbprint(certificate);
        let header = format!(r#"{{"typ":"JWT","alg":"{algorithm}","x5t":"{kid}","kid":"{kid}"}}"#);
        Ok(Self {
            algorithm,
            signer,
            header: format!("{}.", BASE64_URL_SAFE_NO_PAD.encode(header)),
            jwk: Jwk {
                usage: "sig",
                alg: algorithm.name(),
                x5t: kid.clone(),
                kid,
                x5c: [BASE64_STANDARD.encode(certificate)],
                parameters,
            },
        })
    }

    /// Returns the entry of this key in the published key set: public fields only.
    pub const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the encoded header and its dot, with which every token of this key begins.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    pub(super) const fn signer(&self) -> &Signer {
        &self.signer
    }
}

/// Generates a private key, as PKCS #8.
pub(super) fn generate_pkcs8(algorithm: Algorithm) -> Option<Redacted> {
    let rng = SystemRandom::new();
    let bytes = match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&rng).ok()?.as_ref().to_vec(),
        Algorithm::Es256 => {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng);
            pkcs8.ok()?.as_ref().to_vec()
        }
        Algorithm::Rs256 => {
            let key = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).ok()?;
            AsDer::<Pkcs8V1Der<'_>>::as_der(&key).ok()?.as_ref().to_vec()
        }
    };
    Some(Redacted::new(bytes))
}

/// Returns the public parameters of a private key.
fn public_half(algorithm: Algorithm, pkcs8: &[u8]) -> Option<JwkParameters> {
    match algorithm {
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
            Some(JwkParameters::okp(key.public_key().as_ref()))
        }
        Algorithm::Es256 => {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
            JwkParameters::p256(key.public_key().as_ref())
        }
        Algorithm::Rs256 => {
            let key = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
            let modulus = key.public_key().modulus().big_endian_without_leading_zero();
            let exponent = key.public_key().exponent().big_endian_without_leading_zero();
            Some(JwkParameters::rsa(modulus, exponent))
        }
    }
}

/// Returns the name of a key. Azure uses the SHA-1 thumbprint of its certificate for both `kid` and `x5t`.
fn thumbprint(certificate: &[u8]) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
    BASE64_URL_SAFE_NO_PAD.encode(digest)
}

fn self_signed(
    algorithm: Algorithm,
    pkcs8: &Redacted,
    now: UnixSeconds,
) -> Result<Vec<u8>, KeyError> {
    let failed = |error: rcgen::Error| KeyError::Certificate(error.to_string());
    let scheme = match algorithm {
        Algorithm::EdDsa => &rcgen::PKCS_ED25519,
        Algorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::Rs256 => &rcgen::PKCS_RSA_SHA256,
    };
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.expose().into(), scheme)
        .map_err(failed)?;
    let mut certificate = rcgen::CertificateParams::default();
    let since_epoch =
        |seconds| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds);
    certificate.not_before = since_epoch(now.0);
    certificate.not_after = since_epoch(now.0.saturating_add(CERTIFICATE_LIFE_SECONDS));
    certificate.distinguished_name = rcgen::DistinguishedName::new();
    certificate
        .distinguished_name
        .push(rcgen::DnType::CommonName, "accounts.accesscontrol.windows.net");
    Ok(certificate.self_signed(&key).map_err(failed)?.der().to_vec())
}

/// Five years, the life of Entra's own token-signing certificates.
const CERTIFICATE_LIFE_SECONDS: u64 = 5 * 365 * 86_400;
