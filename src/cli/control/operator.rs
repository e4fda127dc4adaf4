//! The operator: who signs in, and with which key.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use uuid::Uuid;

use super::data::OperatorIds;
use crate::clock::{Seconds, UnixSeconds};
use crate::secret::Redacted;

/// From `nbf` to `exp` of an assertion: ten minutes, as Microsoft's libraries have it.
const ASSERTION_LIFETIME: Seconds = Seconds(600);

/// The operator and their key.
pub(super) struct Operator {
    pub(super) ids: OperatorIds,
    key: RsaKeyPair,
    /// base64url(SHA-256(certificate)), `x5t#S256` (RFC 7515 section 4.1.8).
    thumbprint: String,
}

impl Operator {
    /// The operator whose private key (PKCS #8) and certificate are in `pem`.
    pub(super) fn from_pem(ids: OperatorIds, pem: &Redacted) -> Result<Self, &'static str> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.expose());
        let key = key.map_err(|_| "no PEM block holds a private key (PKCS #8)")?;
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
            .map_err(|_| "the private key is not one of RSA")?;
        let certificate = CertificateDer::from_pem_slice(pem.expose())
            .map_err(|_| "no PEM block holds a certificate")?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate);
        Ok(Self { ids, key, thumbprint: BASE64_URL_SAFE_NO_PAD.encode(digest) })
    }

    /// A client assertion (RFC 7523 section 2.2) for the token endpoint at `url`; `None` when the
    /// library fails.
    pub(super) fn assertion(&self, url: &str, now: UnixSeconds, id: Uuid) -> Option<String> {
        let client_id = self.ids.client_id.to_string();
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": url,
            "iss": client_id,
            "sub": client_id,
            "jti": id.hyphenated().to_string(),
            "iat": now.0,
            "nbf": now.0,
            "exp": (now + ASSERTION_LIFETIME).0,
        });
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(
            &RSA_PSS_SHA256,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        );
        signed.ok().map(|()| format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("ids", &self.ids).finish_non_exhaustive()
    }
}
