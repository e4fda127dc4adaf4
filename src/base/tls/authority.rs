//! The certificate authority: its own certificate, and those that it issues.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::error::TlsError;
use super::settings::{CERTIFICATE, alpn, provider};
use super::x509;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::secret::Redacted;

/// Default name of an authority.
const COMMON_NAME: &str = "mintbench local CA";

/// The common name of servers, which clients ignore (RFC 9525 section 2). A DNS name may be too long for it.
const SERVER_COMMON_NAME: &str = "mintbench";

/// Longest common name, in bytes (`ub-common-name`, RFC 5280 appendix A.1).
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Lifetime of an authority: ten years, because users trust it by hand.
const AUTHORITY_LIFE: Seconds = Seconds(10 * 365 * 86_400);

/// Lifetime of a server's certificate: one year, because some clients refuse a longer one.
const SERVER_LIFE: Seconds = Seconds(365 * 86_400);

/// A certificate authority with its private key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: UnixSeconds,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Authority {
    /// Time by which certificates are backdated, for clients whose clock is behind.
    pub(super) const BACKDATING: Seconds = Seconds(3_600);

    /// Creates an authority that is valid for ten years from `now`.
    ///
    /// # Errors
    /// Returns `Certify` when the library fails.
    pub fn create(now: UnixSeconds) -> Result<Self, TlsError> {
        Self::create_named(COMMON_NAME, now)
    }

    /// Creates an authority with a given name, valid for ten years from `now`.
    ///
    /// # Errors
    /// Returns the errors of [`Authority::create`], and `CommonName` when the name is empty or too long.
    pub fn create_named(common_name: &str, now: UnixSeconds) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(certify("the key of an authority"))?;
        Self::certify_itself(common_name, key, now)
    }

    pub(super) fn certify_itself(
        common_name: &str,
        key: KeyPair,
        now: UnixSeconds,
    ) -> Result<Self, TlsError> {
        if common_name.is_empty() || common_name.len() > COMMON_NAME_BYTES_MAX {
            return Err(TlsError::CommonName(common_name.to_owned()));
        }
        let not_after = now + AUTHORITY_LIFE;
        let mut params = parameters(common_name, &key, now - Self::BACKDATING, not_after);
        // It signs certificates of servers and clients, but not of other authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(certify("an authority"))?.into();
        Ok(Self { issuer: Issuer::new(params, key), certificate, not_after })
    }

    /// Reads an authority back: the first certificate of `certificate_pem` and the first private key of
    /// `key_pem`. Does not check that it is still valid.
    ///
    /// # Errors
    /// Returns `Pem` when one is missing, `Config` when the key does not belong to the certificate, and
    /// `Foreign` when mintbench did not create the certificate.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &Redacted) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem)
            .map_err(|_| TlsError::Pem(CERTIFICATE))?;
        let key = read_key(key_pem)?;
        let pair = PrivateKeyDer::Pkcs8(key.serialized_der().to_vec().into());
        CertifiedKey::from_der(vec![certificate.clone()], pair, &provider())?;
        let issued = x509::common_name(&certificate).zip(x509::not_after(&certificate));
        let (common_name, not_after) = issued.ok_or(TlsError::Foreign)?;
        let mut params = parameters(common_name, &key, UnixSeconds(0), not_after);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: Issuer::new(params, key), certificate, not_after })
    }

    /// Returns the authority's certificate, for clients that trust it (RFC 7468 section 5).
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// Returns the authority's certificate in DER, for inclusion in messages, as in `x5c`.
    pub const fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the private key as PKCS #8 (RFC 7468 section 10). Whoever has it can issue certificates.
    pub fn key_pem(&self) -> Redacted {
        key_pem(self.issuer.key())
    }

    /// Derives 32 secret bytes from the private key and `label`. They are the same for the same authority,
    /// and do not reveal the private key (HMAC-SHA-256, RFC 2104).
    pub fn derived_key(&self, label: &str) -> Redacted {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.issuer.key().serialized_der());
        Redacted::new(hmac::sign(&key, label.as_bytes()).as_ref().to_vec())
    }

    /// Returns the last second in which the authority's certificate is valid.
    pub const fn not_after(&self) -> UnixSeconds {
        self.not_after
    }

    /// Returns the TLS configuration of a server with these `names`: HTTP/1.1 and a certificate for a year
    /// from `now`. Its key never leaves memory. A name is an IP address or a DNS name. The first label of a
    /// DNS name may be `*`; clients require at least two labels after it.
    ///
    /// # Errors
    /// Returns `NoNames` without names, `Name` when a name is neither an address nor a DNS name, and
    /// `Certify` or `Config` when a library fails.
    pub fn server_config(
        &self,
        names: &[String],
        now: UnixSeconds,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        if names.is_empty() {
            return Err(TlsError::NoNames);
        }
        let key = KeyPair::generate().map_err(certify("the key of a server"))?;
        let (begin, end) = (now - Self::BACKDATING, self.server_end(now));
        let mut params = leaf(SERVER_COMMON_NAME, &key, begin, end);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names =
            names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(certify("a server"))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.into()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )?;
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }

    /// Returns the last second of a server's certificate that is created at `now`.
    pub(super) fn server_end(&self, now: UnixSeconds) -> UnixSeconds {
        self.not_after.min(now + SERVER_LIFE)
    }

    /// Certifies that `key` belongs to a client, such as a principal that authenticates with a certificate
    /// (RFC 7523 section 2.2). Returns DER. The certificate may outlive the authority's own.
    ///
    /// # Errors
    /// Returns `Certify` when the library fails.
    pub fn issue_client(
        &self,
        subject_common_name: &str,
        key: &impl PublicKeyData,
        not_before: UnixSeconds,
        not_after: UnixSeconds,
    ) -> Result<CertificateDer<'static>, TlsError> {
        let mut params = leaf(subject_common_name, key, not_before, not_after);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(key, &self.issuer).map_err(certify("a client"))?;
        Ok(certificate.into())
    }

    /// Creates the authority of a private key that has no certificate yet.
    pub(super) fn from_key(key_pem: &Redacted, now: UnixSeconds) -> Result<Self, TlsError> {
        Self::certify_itself(COMMON_NAME, read_key(key_pem)?, now)
    }
}

/// Creates a private key in the format of [`Authority::key_pem`].
pub(super) fn new_key_pem() -> Result<Redacted, TlsError> {
    let key = KeyPair::generate().map_err(certify("the key of an authority"))?;
    Ok(key_pem(&key))
}

fn key_pem(key: &KeyPair) -> Redacted {
    Redacted::new(pem("PRIVATE KEY", key.serialized_der()).into_bytes())
}

fn read_key(key_pem: &Redacted) -> Result<KeyPair, TlsError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(key_pem.expose())
        .map_err(|_| TlsError::Pem("a private key in PKCS #8"))?;
    KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(certify("an authority of this private key"))
}

fn leaf(
    common_name: &str,
    key: &impl PublicKeyData,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
) -> CertificateParams {
    let mut params = parameters(common_name, key, not_before, not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Strict clients, such as Python 3.13, require it.
    params.use_authority_key_identifier_extension = true;
    params
}

fn parameters(
    common_name: &str,
    key: &impl PublicKeyData,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    let since_epoch = |time: UnixSeconds| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.0.min(YEAR_9999_END))
    };
    params.not_before = since_epoch(not_before);
    params.not_after = since_epoch(not_after);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(serial(key, not_before, not_after));
    params
}

/// The last second that a certificate can contain (RFC 5280 section 4.1.2.5).
const YEAR_9999_END: u64 = 253_402_300_799;

/// Returns a serial number that differs between the certificates of an issuer (RFC 5280 section 4.1.2.2),
/// also when one key is certified again later.
fn serial(
    key: &impl PublicKeyData,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
) -> SerialNumber {
    let mut unique = key.subject_public_key_info();
    unique.extend(not_before.0.to_be_bytes());
    unique.extend(not_after.0.to_be_bytes());
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &unique);
    let (number, _) = digest.as_ref().split_at(16);
    SerialNumber::from_slice(number)
}

fn alternative_name(name: &str) -> Result<SanType, TlsError> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let refused = || TlsError::Name(name.to_owned());
    DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)).map_err(|_| refused())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| refused())?))
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----");
    for (index, character) in base64.char_indices() {
        // Lines have 64 characters (RFC 7468 section 2).
        if index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + &format!("\n-----END {label}-----\n")
}

fn certify(what: &'static str) -> impl FnOnce(rcgen::Error) -> TlsError {
    move |source| TlsError::Certify { what, source }
}
