//! Parsed keys of certificates, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use parking_lot::Mutex;

use super::error::CredentialError;
use crate::base::ids::PrincipalId;
use crate::base::x509::CertificateError;
use crate::service::token::{CertificateKey, ClientKeyError};
use crate::service::world::record::Credential;

/// Greatest number of parsed keys in memory. When it is reached, all are discarded and parsed again on use.
const PARSED_MAX: usize = 4_096;

/// Parsed keys by principal: the key of the certificate that was used last.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<HashMap<PrincipalId, Parsed, foldhash::fast::RandomState>>);

#[derive(Debug)]
struct Parsed {
    thumbprint: String,
    key: Arc<CertificateKey>,
}

impl KeyCache {
    /// Returns the certificate with its key, and parses it unless it is in memory.
    pub(super) fn key(
        &self,
        credential: &Credential,
    ) -> Result<Arc<CertificateKey>, CredentialError> {
        let (id, thumbprint) = (credential.principal_id, &credential.thumbprint);
        let held = |held: &Parsed| (held.thumbprint == *thumbprint).then(|| Arc::clone(&held.key));
        if let Some(key) = self.0.lock().get(&id).and_then(held) {
            return Ok(key);
        }
        let key = Arc::new(read_key(credential)?);
        let mut parsed = self.0.lock();
        if parsed.len() >= PARSED_MAX {
            parsed.clear();
        }
        parsed.insert(id, Parsed { thumbprint: thumbprint.clone(), key: Arc::clone(&key) });
        Ok(key)
    }
}

fn read_key(credential: &Credential) -> Result<CertificateKey, CredentialError> {
    let stored =
        |source| CredentialError::Stored { thumbprint: credential.thumbprint.clone(), source };
    let der = BASE64_STANDARD.decode(&credential.certificate);
    let der = der.map_err(|_| stored(CertificateError::Malformed.into()))?;
    let key = credential.private_key.as_ref().ok_or_else(|| stored(ClientKeyError::PrivateKey))?;
    CertificateKey::new(&der, &key.0).map_err(stored)
}
