//! Secrets by which a program proves whose it is, where its address cannot say that.

use std::fmt;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use crate::base::ids::VmId;
use crate::base::secret::Redacted;

/// Makes and recognises the secrets of virtual machines.
///
/// A secret is the id of its machine and an HMAC of the id, so none is stored. It stays the same as long as the
/// key does, and a machine that is made again has another id and another secret.
pub(crate) struct CallerSecrets(hmac::Key);

impl CallerSecrets {
    /// Creates the secrets that belong to `key`.
    pub(crate) fn new(key: &Redacted) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// Returns the secret of a machine: 64 characters that need no quotes in a shell.
    pub(crate) fn of(&self, vm_id: VmId) -> Redacted {
        let id = vm_id.as_bytes();
        let code = hmac::sign(&self.0, id);
        let whole = Redacted::new([id.as_slice(), code.as_ref()].concat());
        Redacted::new(BASE64_URL_SAFE_NO_PAD.encode(whole.expose()).into_bytes())
    }

    /// Returns the machine whose secret this is. The machine may not exist any more. The comparison takes the
    /// same time for every wrong code.
    pub(crate) fn owner(&self, secret: &[u8]) -> Option<VmId> {
        let whole = Redacted::new(BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?);
        let (id, code) = whole.expose().split_first_chunk::<16>()?;
        hmac::verify(&self.0, id, code).ok()?;
        Some(VmId::from_bytes(*id))
    }
}

impl fmt::Debug for CallerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerSecrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: VmId = VmId::from_bytes([7; 16]);

    fn secrets(key: u8) -> CallerSecrets {
        CallerSecrets::new(&Redacted::new(vec![key; 32]))
    }

    #[test]
    fn a_secret_names_its_machine_and_no_other() {
        let own = secrets(1);
        let secret = own.of(VM);
        assert_eq!(own.owner(secret.expose()), Some(VM));
        assert_eq!(secret.expose().len(), 64);
        assert!(
            secret.expose().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        );
        let other = own.of(VmId::from_bytes([8; 16]));
        assert_ne!(secret, other);
        // The id of one machine with the code of another.
        let mixed = [&secret.expose()[..20], &other.expose()[20..]].concat();
        assert_eq!(own.owner(&mixed), None);
    }

    #[test]
    fn a_secret_of_another_key_or_a_part_of_one_is_no_secret() {
        let own = secrets(1);
        let secret = own.of(VM);
        assert_eq!(secrets(2).owner(secret.expose()), None);
        for wrong in [&b""[..], b"x", &secret.expose()[..63], &secret.expose()[..22], &[0xff; 64]] {
            assert_eq!(own.owner(wrong), None);
        }
        assert_eq!(format!("{own:?}"), "CallerSecrets(..)");
    }
}
