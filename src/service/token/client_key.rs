//! Keys with which service principals prove who they are, and the issuers of their certificates.

use std::fmt;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose,
};

use super::algorithm::{Algorithm, KeyError};
use super::keys::generate_pkcs8;
use crate::base::clock::UnixSeconds;
use crate::base::ids::ClientId;
use crate::base::secret::Redacted;

/// Generates a private RSA-2048 key (RFC 5958, DER), the kind that Entra accepts from a client. Takes about
/// 100 ms.
///
/// # Errors
/// Returns `Generate` when the library fails.
pub fn generate_client_key() -> Result<Redacted, KeyError> {
    generate_pkcs8(Algorithm::Rs256).ok_or(KeyError::Generate(Algorithm::Rs256))
}

/// Contents of a service principal's certificate.
#[derive(Debug)]
pub struct CertificateRequest<'a> {
    /// Client id for the subject: `CN=<client id>`.
    pub client_id: ClientId,
    /// Key whose public half is certified.
    pub key: &'a rcgen::KeyPair,
    /// First second in which the certificate is valid.
    pub not_before: UnixSeconds,
    /// Last second in which the certificate is valid.
    pub not_after: UnixSeconds,
}

/// An issuer of certificates for service principals' keys.
pub trait CertificateIssuer: Send + Sync + fmt::Debug {
    /// Returns the certificate, DER.
    ///
    /// # Errors
    /// Returns `Certificate` when the library fails.
    fn certify(&self, request: &CertificateRequest<'_>) -> Result<Vec<u8>, KeyError>;
}

/// Issues self-signed certificates. They suffice where each certificate is registered, as in Entra.
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

/// Returns a certificate (DER) for `pkcs8`, a key from [`generate_client_key`].
///
/// # Errors
/// Returns `Certificate` when a library fails.
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
