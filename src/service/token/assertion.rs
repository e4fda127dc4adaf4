//! Verification of client assertions (RFC 7523 section 2.2) by the token service.
//!
//! Released clients encode assertions in several ways, and all of them are accepted:
//!
//! - parts padded with `=` (azure-identity for Python)
//! - thumbprints in standard base64 (MSAL for Go and Java) or in hex
//! - the thumbprint in `kid` alone (Terraform)
//! - `x5c` with line breaks (az)
//!
//! The signature covers the text exactly as the client sent it.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::{Algorithm, DecodingKey, Header, crypto};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::x509::Certificate;

/// Reasons why an assertion proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// The assertion is no JWT with the required claims, is too long, or uses another algorithm.
    #[error("the assertion is not a well-formed JWT signed with PS256 or RS256")]
    Malformed,
    /// The key of the certificate did not sign the assertion.
    #[error("the signature of the assertion is wrong")]
    Signature,
}

/// Claims of an assertion. Entra requires `iss`, `sub`, `aud` and `exp`; the rest may be missing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AssertionClaims {
    /// `iss`.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// `sub`.
    #[serde(rename = "sub")]
    pub subject: String,
    #[serde(rename = "aud")]
    audience: Audience,
    // `NumericDate` may have a fraction (RFC 7519 section 2), and MSAL for Python sends one.
    nbf: Option<f64>,
    iat: Option<f64>,
    exp: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl AssertionClaims {
    /// Returns the audiences (`aud`).
    pub fn audiences(&self) -> &[String] {
        match &self.audience {
            Audience::One(audience) => std::slice::from_ref(audience),
            Audience::Many(audiences) => audiences,
        }
    }

    /// Returns the first second in which the assertion is valid (`nbf`), if it has one.
    pub fn not_before(&self) -> Option<UnixSeconds> {
        self.nbf.map(whole)
    }

    /// Returns the time of its issue (`iat`), if it has one.
    pub fn issued_at(&self) -> Option<UnixSeconds> {
        self.iat.map(whole)
    }

    /// Returns the expiry (`exp`).
    pub fn expires(&self) -> UnixSeconds {
        whole(self.exp)
    }

    /// Returns true if the assertion is valid at `now`, for clocks that differ by up to `leeway`.
    pub fn is_in_time(&self, now: UnixSeconds, leeway: Seconds) -> bool {
        let begun = self.not_before().is_none_or(|not_before| not_before <= now + leeway);
        begun && now < self.expires() + leeway
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a date before 1970 or after the end of time is as good as that moment"
)]
pub(super) const fn whole(seconds: f64) -> UnixSeconds {
    UnixSeconds(seconds as u64)
}

/// Returns the claims of a JWT with a signature or without one, whether or not anybody signed it.
pub(crate) fn unverified_claims(jwt: &str) -> Option<Map<String, Value>> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// Parts of a JWT in compact serialization (RFC 7515 section 7.1), as they were sent.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// Header and claims: the text that the signature covers.
    pub(super) message: &'a str,
    pub(super) header: &'a str,
    pub(super) claims: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Longest accepted JWT. Those of GitHub and Kubernetes have about 2 kB, and an assertion with a chain of three
    /// certificates is shorter, too.
    const BYTES_MAX: usize = 16 * 1024;

    /// Splits a JWT. Returns `None` if it is too long or lacks a part.
    pub(super) fn of(jwt: &'a str) -> Option<Self> {
        if jwt.len() > Self::BYTES_MAX {
            return None;
        }
        let (message, signature) = jwt.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        Some(Self { message, header, claims, signature })
    }
}

/// An assertion that was parsed but not verified.
#[derive(Debug)]
pub struct PresentedAssertion<'a> {
    /// Header and claims as the client sent them: the text that the signature covers.
    message: &'a str,
    signature: String,
    algorithm: Algorithm,
    sha1: Option<Vec<u8>>,
    sha256: Option<Vec<u8>>,
    /// Thumbprint from `kid`, SHA-1 or SHA-256; `None` if the header has `x5t` or `x5t#S256`.
    kid: Option<Vec<u8>>,
    chain: Vec<Vec<u8>>,
    claims: AssertionClaims,
}

impl<'a> PresentedAssertion<'a> {
    /// Parses `jwt`. Keys in the assertion itself (`jwk`, `jku`, `x5u`) are ignored.
    ///
    /// # Errors
    /// Returns `Malformed` when `jwt` is no assertion.
    pub fn parse(jwt: &'a str) -> Result<Self, AssertionError> {
        Self::read(jwt).ok_or(AssertionError::Malformed)
    }

    fn read(jwt: &'a str) -> Option<Self> {
        let Parts { message, header, claims, signature } = Parts::of(jwt)?;
        let header: Header = serde_json::from_slice(&decoded(header)?).ok()?;
        let known = matches!(header.alg, Algorithm::PS256 | Algorithm::RS256);
        if !known || header.crit.is_some() {
            return None;
        }
        let read = |text: Option<&str>| text.map_or(Some(None), |text| thumbprint(text).map(Some));
        let (sha1, sha256) = (read(header.x5t.as_deref())?, read(header.x5t_s256.as_deref())?);
        let is_named = sha1.is_some() || sha256.is_some();
        let kid = header.kid.as_deref().filter(|_| !is_named).and_then(thumbprint);
        let chain = header.x5c.iter().flatten().map(|text| certificate(text));
        Some(Self {
            message,
            signature: url_safe(signature),
            algorithm: header.alg,
            sha1,
            sha256,
            kid: kid.filter(|kid| [20, 32].contains(&kid.len())),
            chain: chain.collect::<Option<_>>()?,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
        })
    }

    /// Returns the claims without verification: anybody could have written them.
    pub const fn unverified(&self) -> &AssertionClaims {
        &self.claims
    }

    /// Returns the thumbprint of the certificate that the assertion names.
    pub fn thumbprint(&self) -> Option<&[u8]> {
        [&self.sha256, &self.sha1, &self.kid].into_iter().find_map(Option::as_deref)
    }

    /// Returns true if the header has a field that can only mean a certificate (`x5t`, `x5t#S256`, `x5c`). A
    /// `kid` is no such field: in a token of another issuer it names a key of that issuer.
    pub const fn says_certificate(&self) -> bool {
        self.sha1.is_some() || self.sha256.is_some() || !self.chain.is_empty()
    }

    /// Returns the certificates of `x5c` (DER). The certificate of the signing key is the first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// Returns true if the assertion names `certificate`. Every thumbprint in its header must match.
    pub fn names(&self, certificate: &Certificate) -> bool {
        let fits =
            |named: &Option<Vec<u8>>, own: Vec<u8>| named.as_ref().is_none_or(|it| *it == own);
        let is_kid = |kid: &Vec<u8>| *kid == certificate.sha1() || *kid == certificate.sha256();
        self.thumbprint().is_some()
            && fits(&self.sha256, certificate.sha256())
            && fits(&self.sha1, certificate.sha1())
            && self.kid.as_ref().is_none_or(is_kid)
    }

    /// Returns the claims if the key of `certificate` signed the assertion. The token service checks time and
    /// audience itself, by its own clock.
    ///
    /// # Errors
    /// Returns `Signature` when the signature does not match.
    pub fn verify(&self, certificate: &Certificate) -> Result<&AssertionClaims, AssertionError> {
        let key = certificate.rsa_public_key().ok_or(AssertionError::Signature)?;
        let key = DecodingKey::from_rsa_der(key);
        match crypto::verify(&self.signature, self.message.as_bytes(), &key, self.algorithm) {
            Ok(true) => Ok(&self.claims),
            Ok(false) | Err(_) => Err(AssertionError::Signature),
        }
    }
}

/// Reads a thumbprint in hex (40 or 64 digits) or in base64, which never has these lengths.
fn thumbprint(text: &str) -> Option<Vec<u8>> {
    let is_hex = [40, 64].contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_hex {
        return decoded(text);
    }
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

/// Decodes a certificate, which may contain line breaks as in PEM (MSAL for Python).
fn certificate(text: &str) -> Option<Vec<u8>> {
    decoded(&text.split_ascii_whitespace().collect::<String>())
}

/// Decodes base64 of either alphabet, with or without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(url_safe(text)).ok()
}

fn url_safe(text: &str) -> String {
    text.trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// Returns the claims of `jwt` if it names one of `candidates` and the key of that certificate signed it.
///
/// # Errors
/// Returns `Malformed` when `jwt` is no assertion. Returns `Signature` when the signature does not match, or
/// when `jwt` names none of the candidates.
pub fn verify_assertion(
    jwt: &str,
    candidates: &[Certificate],
) -> Result<AssertionClaims, AssertionError> {
    let assertion = PresentedAssertion::parse(jwt)?;
    let named = candidates.iter().find(|certificate| assertion.names(certificate));
    assertion.verify(named.ok_or(AssertionError::Signature)?).cloned()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, LazyLock};

    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::base::assertion::{AssertionForm, CertificateKey, ClientAssertion};
    use crate::base::ids::ClientId;
    use crate::service::token::{SelfSigned, certify_client, generate_client_key};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const URL: &str = "http://127.0.0.1:1/t/oauth2/token";

    /// Returns a key of `client_id` whose certificate is valid for `life` from [`NOW`] on. The private key is
    /// always the same.
    pub(crate) fn certificate_key(client_id: ClientId, life: Seconds) -> Arc<CertificateKey> {
        let pkcs8 = &*PRIVATE_KEY;
        let der = certify_client(&SelfSigned, pkcs8, client_id, NOW, NOW + life).unwrap();
        Arc::new(CertificateKey::new(&der, pkcs8).unwrap())
    }

    pub(crate) static PRIVATE_KEY: LazyLock<crate::base::secret::Redacted> =
        LazyLock::new(|| generate_client_key().unwrap());

    fn client() -> ClientId {
        ClientId::from_bytes([7; 16])
    }

    fn signed(key: &CertificateKey, form: AssertionForm) -> String {
        let client_id = &client().to_string();
        let assertion = ClientAssertion { client_id, audience: URL, issued_at: NOW, id: [1; 16] };
        assertion.sign(key, form).unwrap()
    }

    #[test]
    fn every_form_is_verified_by_its_certificate_alone() {
        let key = certificate_key(client(), Seconds(9));
        let other = certificate_key(client(), Seconds(10));
        for form in
            [AssertionForm::Ps256, AssertionForm::Ps256WithCertificate, AssertionForm::Rs256]
        {
            let jwt = signed(&key, form);
            let both = [other.certificate().clone(), key.certificate().clone()];
            let claims = verify_assertion(&jwt, &both).unwrap();
            assert_eq!(
                (claims.issuer.clone(), claims.audiences()),
                (client().to_string(), &[URL.to_owned()][..])
            );
            assert!(claims.is_in_time(NOW, Seconds(0)));
            assert!(!claims.is_in_time(NOW + Seconds(600), Seconds(0)));
            assert!(!claims.is_in_time(NOW - Seconds(1), Seconds(0)));
            let unknown = verify_assertion(&jwt, &both[..1]);
            assert_eq!(unknown, Err(AssertionError::Signature));
        }
    }

    #[test]
    fn a_changed_assertion_is_refused() {
        let key = certificate_key(client(), Seconds(9));
        let jwt = signed(&key, AssertionForm::Ps256);
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let (header, _) = message.split_once('.').unwrap();
        let claims = json!({ "iss": "x", "sub": "x", "aud": URL, "exp": 1.5 }).to_string();
        let changed = format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(claims));
        let presented = PresentedAssertion::parse(&changed).unwrap();
        assert_eq!(presented.verify(key.certificate()), Err(AssertionError::Signature));
    }

    #[test]
    fn other_algorithms_and_critical_headers_are_malformed() {
        let claims = json!({ "iss": "x", "sub": "x", "aud": URL, "exp": 1 });
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "ES256" }),
            json!({ "alg": "PS256", "crit": ["b64"], "b64": false }),
            json!({ "alg": "PS256", "x5t#S256": "%%" }),
        ] {
            let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let jwt = format!("{}.{}.AA", encode(&header), encode(&claims));
            let parsed = PresentedAssertion::parse(&jwt).map(|_| ());
            assert_eq!(parsed, Err(AssertionError::Malformed), "{header}");
        }
        assert!(PresentedAssertion::parse(&"a".repeat(20_000)).is_err());
    }

    #[test]
    fn the_longest_jwt_is_read_and_one_that_is_longer_is_not() {
        let jwt = |bytes: usize| format!("a.{}.c", "b".repeat(bytes - 4));
        assert!(Parts::of(&jwt(Parts::BYTES_MAX)).is_some());
        for more in 1..3 {
            assert!(Parts::of(&jwt(Parts::BYTES_MAX + more)).is_none(), "{more}");
        }
    }

    #[test]
    fn a_key_id_beside_a_thumbprint_names_no_certificate() {
        let key = certificate_key(client(), Seconds(9));
        let certificate = key.certificate();
        let sha1 = BASE64_URL_SAFE_NO_PAD.encode(certificate.sha1());
        let sha256 = certificate.thumbprint();
        let other = "f".repeat(40);
        let claims = json!({ "iss": "x", "sub": "x", "aud": URL, "exp": 1 });
        for header in [
            json!({ "alg": "PS256", "x5t#S256": sha256, "kid": other }),
            json!({ "alg": "PS256", "x5t": sha1, "kid": other }),
            json!({ "alg": "PS256", "x5t": sha1, "x5t#S256": sha256, "kid": other }),
        ] {
            let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let jwt = format!("{}.{}.AA", encode(&header), encode(&claims));
            assert!(PresentedAssertion::parse(&jwt).unwrap().names(certificate), "{header}");
        }
    }

    #[test]
    fn a_thumbprint_is_read_in_every_spelling() {
        let bytes: Vec<u8> = (0..20).map(|it| 255 - it).collect();
        let hex = "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedec".to_owned();
        let standard = BASE64_STANDARD.encode(&bytes);
        assert!(standard.contains('+') || standard.contains('/'), "{standard}");
        for text in [hex.to_uppercase(), hex, BASE64_URL_SAFE_NO_PAD.encode(&bytes), standard] {
            assert_eq!(thumbprint(&text), Some(bytes.clone()), "{text}");
        }
        assert_eq!(thumbprint("%%"), None);
        // Hexadecimal digits of another number, and other letters of that number, are base64.
        assert_eq!(thumbprint("abcd"), Some(vec![0x69, 0xb7, 0x1d]));
        let letters = "zzzz".repeat(10);
        assert_eq!(thumbprint(&letters), decoded(&letters));
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused() {
        let der = certificate_key(client(), Seconds(9)).certificate().der().to_vec();
        let other = generate_client_key().unwrap();
        assert!(CertificateKey::new(&der, &other).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}", exp: f64, nbf: f64) {
            let _ = PresentedAssertion::parse(&text);
            let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let header = json!({ "alg": "PS256", "x5t": text, "kid": text });
            let claims = json!({ "iss": text, "sub": "x", "aud": [text], "exp": exp, "nbf": nbf });
            let jwt = format!("{}.{}.AA", encode(&header), encode(&claims));
            if let Ok(presented) = PresentedAssertion::parse(&jwt) {
                let _ = presented.unverified().is_in_time(NOW, Seconds(300));
            }
        }
    }
}
