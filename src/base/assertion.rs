//! Client assertions (RFC 7523 section 2.2) in Entra's format, created by the holder of a service principal's
//! certificate.
//!
//! This is the client side, for the broker, the commands and the load generator. The token service checks
//! assertions. This module knows nothing of HTTP.

use std::fmt;

use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair, RsaSignatureEncoding,
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::secret::Redacted;
use crate::base::x509::{Certificate, CertificateError};

/// Signature algorithm of an assertion, and its reference to the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AssertionForm {
    /// PS256 and `x5t#S256`, which Entra requires.
    #[default]
    Ps256,
    /// The same, with the certificate itself (`x5c`), for a service that trusts its issuer.
    Ps256WithCertificate,
    /// RS256 and `x5t`, for older servers.
    Rs256,
}

/// Claims of an assertion.
#[derive(Clone, Copy, Debug)]
pub struct ClientAssertion<'a> {
    /// `iss` and `sub`: a GUID with Entra, any name elsewhere.
    pub client_id: &'a str,
    /// `aud`: the URL of the token endpoint.
    pub audience: &'a str,
    /// `iat` and `nbf`.
    pub issued_at: UnixSeconds,
    /// `jti`: different for every assertion.
    pub id: [u8; 16],
}

impl ClientAssertion<'_> {
    /// Time from `nbf` to `exp`: ten minutes, as in Microsoft's libraries.
    pub const LIFETIME: Seconds = Seconds(600);

    /// Returns the assertion, signed with `key`.
    ///
    /// # Errors
    /// Returns `SignError` when the library fails.
    pub fn sign(&self, key: &CertificateKey, form: AssertionForm) -> Result<String, SignError> {
        let claims = json!({
            "aud": self.audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": Uuid::from_bytes(self.id).hyphenated().to_string(),
            "iat": self.issued_at.0,
            "nbf": self.issued_at.0,
            "exp": (self.issued_at + Self::LIFETIME).0,
        });
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header(&key.certificate, form)), encode(&claims));
        let padding: &'static RsaSignatureEncoding = match form {
            AssertionForm::Ps256 | AssertionForm::Ps256WithCertificate => &RSA_PSS_SHA256,
            AssertionForm::Rs256 => &RSA_PKCS1_SHA256,
        };
        let mut signature = vec![0; key.key.public_modulus_len()];
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let signed = key.key.sign(padding, &rng, message.as_bytes(), &mut signature);
        signed.map_err(|_| SignError)?;
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn header(certificate: &Certificate, form: AssertionForm) -> Value {
    let x5t_sha256 = certificate.thumbprint();
    match form {
        AssertionForm::Ps256 => json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": x5t_sha256 }),
        AssertionForm::Ps256WithCertificate => {
            let x5c = [BASE64_STANDARD.encode(certificate.der())];
            json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": x5t_sha256, "x5c": x5c })
        }
        AssertionForm::Rs256 => {
            let x5t = BASE64_URL_SAFE_NO_PAD.encode(certificate.sha1());
            json!({ "alg": "RS256", "typ": "JWT", "x5t": x5t })
        }
    }
}

/// The signature library failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign a client assertion")]
pub struct SignError;

/// Reason why a certificate and a private key cannot be used together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The private key cannot be read.
    #[error("the private key cannot be read; give an RSA key in PKCS #8")]
    PrivateKey,
    /// The private key does not belong to the certificate.
    #[error("the private key is not that of the certificate; give the two that belong together")]
    Mismatch,
}

/// A certificate and its private key, ready to sign assertions. Safe to use from many threads.
pub struct CertificateKey {
    certificate: Certificate,
    key: RsaKeyPair,
}

impl CertificateKey {
    /// Parses a certificate (DER) and its private key (PKCS #8). This takes about as long as a signature, so
    /// keep the result.
    ///
    /// # Errors
    /// See [`ClientKeyError`].
    pub fn new(certificate: &[u8], pkcs8: &Redacted) -> Result<Self, ClientKeyError> {
        let certificate = Certificate::from_der(certificate)?;
        let key = RsaKeyPair::from_pkcs8(pkcs8.expose()).map_err(|_| ClientKeyError::PrivateKey)?;
        if certificate.rsa_public_key() != Some(key.public_key().as_ref()) {
            return Err(ClientKeyError::Mismatch);
        }
        Ok(Self { certificate, key })
    }

    /// Returns the certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for CertificateKey {
    /// Formats without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thumbprint = self.certificate.thumbprint();
        f.debug_struct("CertificateKey").field("thumbprint", &thumbprint).finish_non_exhaustive()
    }
}
