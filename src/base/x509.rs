//! X.509 certificates (RFC 5280), reduced to the needs of signature checks: public key, validity, subject and
//! issuer. Supports chains of one step and only common names.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry as oid;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use crate::base::clock::UnixSeconds;

/// Reason why a text or DER is not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, or not a certificate.
    #[error("the certificate cannot be read; give one X.509 certificate")]
    Malformed,
    /// Not PEM, or without a certificate.
    #[error(
        "there is no certificate in the PEM text; give a block that begins with `-----BEGIN CERTIFICATE-----`"
    )]
    Pem,
    /// The text contains a private key, but only a certificate is expected.
    #[error("the PEM text holds a private key; give the certificate alone and keep the key")]
    PrivateKey,
}

/// A parsed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// `subjectPublicKey`, which is a PKCS #1 `RSAPublicKey` for RSA.
    public_key: Vec<u8>,
    is_rsa: bool,
    common_name: Option<String>,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
}

impl Certificate {
    /// Parses one certificate in DER. Trailing bytes are refused.
    ///
    /// # Errors
    /// Returns `Malformed` when it cannot be parsed.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = parse(der).ok_or(CertificateError::Malformed)?;
        let since_epoch = |time: x509_parser::time::ASN1Time| {
            UnixSeconds(u64::try_from(time.timestamp()).unwrap_or(0))
        };
        let key = parsed.public_key();
        let name = parsed.subject().iter_common_name().next();
        Ok(Self {
            der: der.to_vec(),
            public_key: key.subject_public_key.data.to_vec(),
            is_rsa: *key.algorithm.oid() == oid::OID_PKCS1_RSAENCRYPTION,
            common_name: name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            not_before: since_epoch(parsed.validity().not_before),
            not_after: since_epoch(parsed.validity().not_after),
        })
    }

    /// Parses every certificate of a PEM text (RFC 7468 section 5), at least one. The text may begin with a
    /// byte order mark.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut certificates = Vec::new();
        for block in Pem::iter_from_buffer(text.as_bytes()) {
            let block = block.map_err(|_| CertificateError::Pem)?;
            match block.label.as_str() {
                "CERTIFICATE" => certificates.push(Self::from_der(&block.contents)?),
                label if label.ends_with("PRIVATE KEY") => {
                    return Err(CertificateError::PrivateKey);
                }
                _ => {}
            }
        }
        if certificates.is_empty() { Err(CertificateError::Pem) } else { Ok(certificates) }
    }

    /// Returns the original DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the RSA public key (RFC 8017 appendix A.1.1, DER), or `None` for another kind of key.
    pub fn rsa_public_key(&self) -> Option<&[u8]> {
        self.is_rsa.then_some(&self.public_key)
    }

    /// Returns the common name of the subject.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Returns the first second in which it is valid.
    pub const fn not_before(&self) -> UnixSeconds {
        self.not_before
    }

    /// Returns the last second in which it is valid.
    pub const fn not_after(&self) -> UnixSeconds {
        self.not_after
    }

    /// Returns `x5t`: SHA-1 of the certificate (RFC 7515 section 4.1.7).
    pub fn sha1(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der).as_ref().to_vec()
    }

    /// Returns `x5t#S256`: SHA-256 of the certificate (RFC 7515 section 4.1.8).
    pub fn sha256(&self) -> Vec<u8> {
        digest(&SHA256, &self.der).as_ref().to_vec()
    }

    /// Returns [`sha256`](Self::sha256) in base64url, as in headers.
    pub fn thumbprint(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.sha256())
    }

    /// Returns true if `now` lies within its validity.
    pub fn is_valid(&self, now: UnixSeconds) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Returns true if it may authenticate a client (RFC 5280 section 4.2.1.12). A certificate without an
    /// extended key usage may.
    pub fn is_for_clients(&self) -> bool {
        let usage = parse(&self.der).map(|own| match own.extended_key_usage() {
            Ok(Some(usage)) => usage.value.client_auth || usage.value.any,
            Ok(None) => true,
            Err(_) => false,
        });
        usage == Some(true)
    }

    /// Returns true if `issuer` is an authority with the issuer name of this certificate and has signed it.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Some(own), Some(above)) = (parse(&self.der), parse(&issuer.der)) else { return false };
        let Some(algorithm) = verification(&own) else { return false };
        let key = UnparsedPublicKey::new(algorithm, &issuer.public_key);
        above.is_ca()
            && own.issuer().as_raw() == above.subject().as_raw()
            && key.verify(own.tbs_certificate.as_ref(), &own.signature_value.data).is_ok()
    }
}

/// Returns the `SubjectPublicKeyInfo` (DER) of a certificate in DER, or `None` if it cannot be parsed.
pub(crate) fn public_key_info(der: &[u8]) -> Option<Vec<u8>> {
    parse(der).map(|certificate| certificate.public_key().raw.to_vec())
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

/// Returns the algorithm that verifies the signature of a certificate (RFC 5758, RFC 8410).
fn verification(certificate: &X509Certificate<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let algorithm = certificate.signature_algorithm.oid();
    // Both fields that name the algorithm must agree (RFC 5280 section 4.1.1.2).
    if certificate.tbs_certificate.signature.oid() != algorithm {
        return None;
    }
    let known: [(_, &'static dyn VerificationAlgorithm); 4] = [
        (oid::OID_PKCS1_SHA256WITHRSA, &RSA_PKCS1_2048_8192_SHA256),
        (oid::OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P256_SHA256_ASN1),
        (oid::OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P384_SHA384_ASN1),
        (oid::OID_SIG_ED25519, &ED25519),
    ];
    known.into_iter().find(|(oid, _)| oid == algorithm).map(|(_, check)| check)
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    use super::*;

    /// Formats DER as PEM (RFC 7468 section 2).
    pub(crate) fn pem(label: &str, der: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<_> =
            text.as_bytes().chunks(64).map(str::from_utf8).map(Result::unwrap).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    /// Creates a certificate of an RSA key that is then dropped.
    pub(crate) fn rsa_certificate() -> Vec<u8> {
        let key = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let pkcs8 = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &pkcs8.as_ref().into(),
            &rcgen::PKCS_RSA_SHA256,
        );
        params("rsa", IsCa::NoCa).self_signed(&pkcs8.unwrap()).unwrap().der().to_vec()
    }

    pub(crate) fn params(common_name: &str, is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = is_ca;
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        params
    }

    pub(crate) fn authority(name: &str, is_ca: IsCa) -> (Certificate, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let params = params(name, is_ca);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (Certificate::from_der(&der).unwrap(), Issuer::new(params, key))
    }

    pub(crate) const CA: IsCa = IsCa::Ca(BasicConstraints::Constrained(0));

    #[test]
    fn what_stands_in_a_certificate_is_read() {
        let (certificate, _) = authority("somebody", CA);
        assert_eq!(certificate.common_name(), Some("somebody"));
        assert_eq!(certificate.not_before(), UnixSeconds(1_767_225_600));
        assert_eq!(certificate.not_after(), UnixSeconds(2_840_140_800));
        assert_eq!(certificate.rsa_public_key(), None);
        assert_eq!((certificate.sha1().len(), certificate.thumbprint().len()), (20, 43));
    }

    #[test]
    fn only_the_authority_that_signed_counts() {
        let (root, issuer) = authority("root", CA);
        let (other, _) = authority("root", CA);
        let (no_authority, weak) = authority("weak", IsCa::NoCa);
        let signed = |issuer| {
            let der = params("leaf", IsCa::NoCa)
                .signed_by(&KeyPair::generate().unwrap(), issuer)
                .unwrap();
            Certificate::from_der(der.der()).unwrap()
        };
        assert!(signed(&issuer).is_signed_by(&root));
        assert!(!signed(&issuer).is_signed_by(&other));
        assert!(!signed(&weak).is_signed_by(&no_authority));
    }

    #[test]
    fn a_certificate_for_servers_is_none_for_clients() {
        let of = |usages: &[ExtendedKeyUsagePurpose]| {
            let mut params = params("x", IsCa::NoCa);
            params.extended_key_usages = usages.to_vec();
            let key = KeyPair::generate().unwrap();
            Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
        };
        let (server, client) =
            (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        assert!(of(&[]).is_for_clients() && of(&[server.clone(), client]).is_for_clients());
        assert!(!of(&[server]).is_for_clients());
    }

    #[test]
    fn a_private_key_or_no_certificate_in_a_pem_text_is_refused() {
        let key = KeyPair::generate().unwrap();
        let certificate = pem("CERTIFICATE", params("x", CA).self_signed(&key).unwrap().der());
        assert_eq!(Certificate::all_from_pem(&certificate.repeat(2)).map(|all| all.len()), Ok(2));
        let both = format!("{certificate}{}", pem("PRIVATE KEY", &key.serialize_der()));
        assert_eq!(Certificate::all_from_pem(&both), Err(CertificateError::PrivateKey));
        assert_eq!(Certificate::all_from_pem("hello"), Err(CertificateError::Pem));
        let marked = format!("\u{feff}{certificate}");
        assert_eq!(Certificate::all_from_pem(&marked).map(|all| all.len()), Ok(1));
    }

    proptest! {
        #[test]
        fn a_damaged_certificate_is_read_without_a_panic(at in 0..300_usize, byte: u8, len in 0..500_usize) {
            let (certificate, _) = authority("a", CA);
            let mut der = certificate.der().to_vec();
            der[at] = byte;
            der.truncate(len);
            if let Ok(damaged) = Certificate::from_der(&der) {
                let _ = damaged.is_signed_by(&certificate);
            }
        }
    }
}
