//! Keys with which service principals prove who they are, and who certifies them.

use std::fmt;

use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose,
};

use super::keys::{Algorithm, KeyError, generate_pkcs8};
use crate::clock::UnixSeconds;
use crate::ids::ClientId;
use crate::secret::Redacted;
use crate::x509::{Certificate, CertificateError};

/// A private RSA-2048 key (RFC 5958, DER): what Entra takes of a client. Making one takes about
/// 100 ms.
///
/// # Errors
/// `Generate` when the library fails.
pub fn generate_client_key() -> Result<Redacted, KeyError> {
    generate_pkcs8(Algorithm::Rs256).ok_or(KeyError::Generate(Algorithm::Rs256))
}

/// What a certificate of a service principal is to say.
#[derive(Debug)]
pub struct CertificateRequest<'a> {
    /// Its subject: `CN=<client id>`.
    pub client_id: ClientId,
    /// Whose public half it certifies.
    pub key: &'a rcgen::KeyPair,
    /// The first second in which it is valid.
    pub not_before: UnixSeconds,
    /// The last second in which it is valid.
    pub not_after: UnixSeconds,
}

/// Certifies keys of service principals.
pub trait CertificateIssuer: Send + Sync + fmt::Debug {
    /// The certificate, DER.
    ///
    /// # Errors
    /// `Certificate` when the library fails.
    fn certify(&self, request: &CertificateRequest<'_>) -> Result<Vec<u8>, KeyError>;
}

/// Lets every key certify itself: enough where certificates are registered one by one, as Entra does.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelfSigned;

impl CertificateIssuer for SelfSigned {
    fn certify(&self, request: &CertificateRequest<'_>) -> Result<Vec<u8>, KeyError> {
        let since_epoch = |time: UnixSeconds| {
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(time.0)
        };
        let mut params = CertificateParams::default();
        params.not_before = since_epoch(request.not_before);
        params.not_after = since_epoch(request.not_after);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, request.client_id.to_string());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = params.self_signed(request.key);
        let failed = |error: rcgen::Error| KeyError::Certificate(error.to_string());
        Ok(signed.map_err(failed)?.der().to_vec())
    }
}

/// Certifies `pkcs8`, which [`generate_client_key`] made.
///
/// # Errors
/// `Certificate` when a library fails.
pub fn certify_client(
    issuer: &dyn CertificateIssuer,
    pkcs8: &Redacted,
    client_id: ClientId,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
) -> Result<Vec<u8>, KeyError> {
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &pkcs8.expose().into(),
        &rcgen::PKCS_RSA_SHA256,
    );
    let key = &key.map_err(|error| KeyError::Certificate(error.to_string()))?;
    issuer.certify(&CertificateRequest { client_id, key, not_before, not_after })
}

/// Why a certificate and a private key are of no use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The private key cannot be read.
    #[error("the private key cannot be read; give an RSA key in PKCS #8")]
    PrivateKey,
    /// The two do not belong together.
    #[error("the private key is not that of the certificate; give the two that belong together")]
    Mismatch,
}

/// A certificate and its private key, ready to sign assertions. Safe to use from many threads.
pub struct CertificateKey {
    pub(super) certificate: Certificate,
    pub(super) key: RsaKeyPair,
}

impl CertificateKey {
    /// Reads a certificate (DER) and its private key (PKCS #8), which takes about as long as a
    /// signature: keep what comes out.
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

    /// The certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

impl fmt::Debug for CertificateKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thumbprint = self.certificate.thumbprint();
        f.debug_struct("CertificateKey").field("thumbprint", &thumbprint).finish_non_exhaustive()
    }
}
