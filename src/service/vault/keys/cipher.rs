//! Encryption with RSA-OAEP (RFC 7518 section 4.3).
//!
//! `RSA1_5` is left out: whoever learns whether a value could be decrypted can decrypt any value with it (RFC
//! 8017 section 7.2), and the answer of a vault says so.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use zeroize::Zeroizing;

use super::material::decode;
use super::refusal::KeyRefusal;
use crate::base::secret::Redacted;
use crate::service::world::record::{KeyContent, PublicKey};

/// An encryption algorithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncryptionAlgorithm {
    name: &'static str,
    oaep: &'static OaepAlgorithm,
}

/// Names of the algorithms, for messages.
pub(super) const NAMES: &str = "RSA-OAEP and RSA-OAEP-256";

impl EncryptionAlgorithm {
    /// Returns the algorithm of this name.
    pub(super) fn of(name: Option<&str>) -> Result<Self, KeyRefusal> {
        match name {
            Some("RSA-OAEP") => Ok(Self { name: "RSA-OAEP", oaep: &OAEP_SHA1_MGF1SHA1 }),
            Some("RSA-OAEP-256") => {
                Ok(Self { name: "RSA-OAEP-256", oaep: &OAEP_SHA256_MGF1SHA256 })
            }
            _ => Err(KeyRefusal::Algorithm(NAMES)),
        }
    }

    /// Checks that a key has the type for this algorithm. `id` names the key.
    pub(super) fn fits(
        self,
        public: &PublicKey,
        id: impl FnOnce() -> String,
    ) -> Result<(), KeyRefusal> {
        match public {
            PublicKey::Rsa { .. } => Ok(()),
            PublicKey::Ec { .. } => Err(KeyRefusal::TypeMismatch {
                id: id(),
                kty: "EC",
                algorithm: self.name,
                expected: "RSA",
            }),
        }
    }

    /// Encrypts with the public half of a key that [`fits`](Self::fits).
    pub(super) fn encrypt(
        self,
        public: &PublicKey,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, KeyRefusal> {
        let key = encrypting(public).ok_or(KeyRefusal::Failed)?;
        let max = key.max_plaintext_size(self.oaep);
        if plaintext.len() > max {
            return Err(KeyRefusal::PlaintextLength { max });
        }
        let mut ciphertext = vec![0; key.ciphertext_size()];
        let encrypted = key.encrypt(self.oaep, plaintext, &mut ciphertext, None);
        encrypted.map(|bytes| bytes.to_vec()).map_err(|_| KeyRefusal::Failed)
    }

    /// Decrypts with a key that [`fits`](Self::fits).
    pub(super) fn decrypt(
        self,
        key: &KeyContent,
        ciphertext: &[u8],
    ) -> Result<Redacted, KeyRefusal> {
        let key = decrypting(&key.private_key.0).ok_or(KeyRefusal::Failed)?;
        let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
        let decrypted = key.decrypt(self.oaep, ciphertext, &mut plaintext, None);
        decrypted.map(|bytes| Redacted::new(bytes.to_vec())).map_err(|_| KeyRefusal::Ciphertext)
    }
}

fn encrypting(public: &PublicKey) -> Option<OaepPublicEncryptingKey> {
    let PublicKey::Rsa { n, e } = public else { return None };
    let components = PublicKeyComponents { n: decode(n.as_bytes())?, e: decode(e.as_bytes())? };
    let key: PublicEncryptingKey = components.try_into().ok()?;
    OaepPublicEncryptingKey::new(key).ok()
}

fn decrypting(pkcs8: &Redacted) -> Option<OaepPrivateDecryptingKey> {
    let key = PrivateDecryptingKey::from_pkcs8(pkcs8.expose()).ok()?;
    OaepPrivateDecryptingKey::new(key).ok()
}
