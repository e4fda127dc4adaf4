//! Records of key vaults: the vaults, and their secrets and keys.

use serde::{Deserialize, Serialize};

use super::fields::{StoredSecret, Tags};
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::world::period::Period;
use crate::service::world::vault::VaultSettings;

/// A key vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// Its resource id. The name is unique among all vaults.
    pub id: ArmId,
    /// The region that it was created in.
    pub location: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Settings by its owner.
    #[serde(default, skip_serializing_if = "VaultSettings::is_default")]
    pub settings: VaultSettings,
}

/// A key vault that was deleted and can still be recovered. Its secrets and keys stay stored until it is
/// purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedVault {
    /// The vault before its deletion.
    pub vault: Vault,
    /// Time of deletion.
    pub deleted: UnixSeconds,
    /// Time of the planned purge.
    pub scheduled_purge: UnixSeconds,
}

impl DeletedVault {
    /// Returns the vault as deleted at `now`.
    pub fn of(vault: &Vault, now: UnixSeconds) -> Self {
        let scheduled_purge = now + vault.settings.retention();
        Self { vault: vault.clone(), deleted: now, scheduled_purge }
    }
}

/// One version of an object of a vault: a secret or a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectVersion<C> {
    /// The vault.
    pub vault: ArmId,
    /// The object's name.
    pub name: String,
    /// 32 hexadecimal digits.
    pub version: String,
    /// The secret value, or the key.
    #[serde(flatten)]
    pub content: C,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// True if it may be used.
    pub enabled: bool,
    /// Start of its intended use. For a secret only a note: it does not prevent reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UnixSeconds>,
    /// End of its intended use. For a secret only a note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixSeconds>,
    /// Creation time.
    pub created: UnixSeconds,
    /// Time of the last change of its attributes.
    pub updated: UnixSeconds,
    /// Order of the versions of one object that were made within the same second.
    pub ordinal: u64,
}

impl<C> ObjectVersion<C> {
    /// Returns an enabled version without tags and dates, the first of its second.
    pub fn plain(
        vault: ArmId,
        name: String,
        version: String,
        content: C,
        created: UnixSeconds,
    ) -> Self {
        Self {
            vault,
            name,
            version,
            content,
            tags: Tags::new(),
            enabled: true,
            not_before: None,
            expires: None,
            created,
            updated: created,
            ordinal: 0,
        }
    }
}

/// One version of a secret.
pub type SecretVersion = ObjectVersion<SecretContent>;

/// One version of a key.
pub type KeyVersion = ObjectVersion<KeyContent>;

/// The content of a version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretContent {
    /// The value, UTF-8.
    pub value: StoredSecret,
    /// Type of the value, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// The content of a version of a key. Answers are made of the public half alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyContent {
    /// The public half.
    pub public: PublicKey,
    /// The private key, PKCS #8.
    pub private_key: StoredSecret,
    /// Operations that the key may be used for.
    pub operations: Vec<KeyOperation>,
    /// Rotation policy of the key, if one was set. That of the last version counts; a new version takes it
    /// over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<Box<RotationPolicy>>,
}

/// The public half of a key, with the members of a JWK (RFC 7518 section 6). All values are base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum PublicKey {
    /// A point on a curve.
    #[serde(rename = "EC")]
    Ec {
        /// The curve.
        crv: Curve,
        /// First coordinate, as long as the curve's field.
        x: String,
        /// Second coordinate, as long as the curve's field.
        y: String,
    },
    /// An RSA public key.
    #[serde(rename = "RSA")]
    Rsa {
        /// Modulus, big-endian.
        n: String,
        /// Public exponent, big-endian.
        e: String,
    },
}

/// Curve of a key, with the names of Key Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// NIST P-256.
    #[serde(rename = "P-256")]
    P256,
    /// SECG secp256k1.
    #[serde(rename = "P-256K")]
    P256K,
    /// NIST P-384.
    #[serde(rename = "P-384")]
    P384,
    /// NIST P-521.
    #[serde(rename = "P-521")]
    P521,
}

impl Curve {
    /// Every curve.
    pub const ALL: [Self; 4] = [Self::P256, Self::P256K, Self::P384, Self::P521];

    /// Returns the name of the curve, as in `crv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P256K => "P-256K",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }
}

/// Operation that a key may be used for (RFC 7517 section 4.3), in the order in which Key Vault lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyOperation {
    /// Encrypting data with the public key.
    Encrypt,
    /// Decrypting data with the private key.
    Decrypt,
    /// Signing a digest with the private key.
    Sign,
    /// Verifying a signature with the public key.
    Verify,
    /// Encrypting a symmetric key with the public key.
    WrapKey,
    /// Decrypting a symmetric key with the private key.
    UnwrapKey,
}

impl KeyOperation {
    /// Every operation.
    pub const ALL: [Self; 6] =
        [Self::Encrypt, Self::Decrypt, Self::Sign, Self::Verify, Self::WrapKey, Self::UnwrapKey];

    /// Returns the name of the operation, as in `key_ops`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::WrapKey => "wrapKey",
            Self::UnwrapKey => "unwrapKey",
        }
    }
}

/// Plan for a key whose versions grow old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPolicy {
    /// Time after the creation of a rotated version at which the version expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Period>,
    /// Time of a notification. It is only stored: nobody is notified.
    pub notify: Trigger,
    /// Time of a new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Trigger>,
    /// Creation time.
    pub created: UnixSeconds,
    /// Time of the last change.
    pub updated: UnixSeconds,
}

/// A time in the life of a version of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// This long after the creation of the version.
    TimeAfterCreate(Period),
    /// This long before the version expires.
    TimeBeforeExpiry(Period),
}

/// A secret or key that was deleted and can still be recovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedObject {
    /// The vault.
    pub vault: ArmId,
    /// The object's name.
    pub name: String,
    /// Time of deletion.
    pub deleted: UnixSeconds,
    /// Time of the planned purge.
    pub scheduled_purge: UnixSeconds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_hold_the_names_of_curves_and_operations() {
        for curve in Curve::ALL {
            assert_eq!(serde_json::to_value(curve).unwrap(), curve.name());
        }
        for operation in KeyOperation::ALL {
            assert_eq!(serde_json::to_value(operation).unwrap(), operation.name());
        }
    }
}
