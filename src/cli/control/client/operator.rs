//! The operator: the ids and the key for signing in.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use uuid::Uuid;

use super::error::ControlError;
use crate::base::assertion::{AssertionForm, CertificateKey, ClientAssertion};
use crate::base::clock::UnixSeconds;
use crate::base::ids::{ClientId, PrincipalId, TenantId};
use crate::base::secret::Redacted;

/// Ids of the operator (`operator.json`).
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the file")]
pub(crate) struct OperatorIds {
    pub(crate) tenant_id: TenantId,
    pub(crate) client_id: ClientId,
    pub(crate) object_id: PrincipalId,
}

/// The operator and their key.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) ids: OperatorIds,
    key: CertificateKey,
}

impl Operator {
    /// Creates the operator from the private key (PKCS #8) and the certificate in `pem`. Returns the problem
    /// as text.
    pub(crate) fn from_pem(ids: OperatorIds, pem: &Redacted) -> Result<Self, String> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.expose());
        let key = key.map_err(|_| "no PEM block holds a private key (PKCS #8)")?;
        let key = Redacted::new(key.secret_pkcs8_der().to_vec());
        let certificate = CertificateDer::from_pem_slice(pem.expose());
        let certificate = certificate.map_err(|_| "no PEM block holds a certificate")?;
        let key = CertificateKey::new(&certificate, &key).map_err(|error| error.to_string())?;
        Ok(Self { ids, key })
    }

    /// Creates a client assertion (RFC 7523 section 2.2) for the token endpoint at `url`. Returns `None` when
    /// the library fails.
    pub(crate) fn assertion(
        &self,
        url: &str,
        now: UnixSeconds,
        id: Uuid,
    ) -> Result<String, ControlError> {
        let client_id = &self.ids.client_id.to_string();
        let assertion =
            ClientAssertion { client_id, audience: url, issued_at: now, id: id.into_bytes() };
        assertion.sign(&self.key, AssertionForm::Ps256).map_err(|_| ControlError::Unsigned)
    }
}
