//! Keys with which service principals prove who they are, and who certifies them.

use std::fmt;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose,
};

use super::keys::{Algorithm, KeyError, generate_pkcs8};
use crate::clock::UnixSeconds;
use crate::ids::ClientId;
use crate::secret::Redacted;

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
