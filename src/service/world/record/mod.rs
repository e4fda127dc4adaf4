//! Stored records, one for each item of the world, and the changes to them.
//!
//! Tokens are not stored. A record holds the given properties of its item, and nothing that can be derived
//! from other records. `docs/STORE-FORMAT.md` describes the records in a file.

mod fields;
mod vaults;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::federation::FederatedCredential;
use super::roles::{Grant, Scope};
use super::throttle::Throttle;
use crate::base::clock::UnixSeconds;
use crate::base::ids::{
    ArmId, ClientId, PrincipalId, RoleAssignmentId, RoleDefinitionId, SubscriptionId, TenantId,
    VmId,
};
use crate::base::synthetic::IdentityIds;

pub use fields::{Location, StoredSecret, Tags};
pub use vaults::{
    Curve, DeletedObject, DeletedVault, KeyContent, KeyOperation, KeyVersion, ObjectVersion,
    PublicKey, RotationPolicy, SecretContent, SecretVersion, Trigger, Vault,
};

/// One item of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// A directory tenant.
    Tenant(Tenant),
    /// A subscription, which trusts one tenant.
    Subscription(Subscription),
    /// A resource that clients may request tokens for, in one exact spelling.
    Audience(String),
    /// An application registered in a tenant, and its service principal.
    Application(Application),
    /// A resource group.
    ResourceGroup(ResourceGroup),
    /// A user-assigned identity, and its service principal.
    UserAssigned(UserAssigned),
    /// A virtual machine, with its system-assigned identity if it has one.
    VirtualMachine(VirtualMachine),
    /// An address that a virtual machine has left.
    FormerAddress(FormerAddress),
    /// A key vault.
    Vault(Vault),
    /// A key vault that was deleted and can still be recovered.
    DeletedVault(DeletedVault),
    /// A role that a principal holds at a scope.
    RoleAssignment(RoleAssignment),
    /// A certificate of a service principal.
    Credential(Credential),
    /// A key that signs tokens.
    SigningKey(StoredSigningKey),
    /// One version of a secret.
    SecretVersion(SecretVersion),
    /// A secret that was deleted and can still be recovered.
    DeletedSecret(DeletedObject),
    /// One version of a key in a vault.
    KeyVersion(KeyVersion),
    /// A key of a vault that was deleted and can still be recovered.
    DeletedKey(DeletedObject),
}

/// A directory tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id, the `tid` of its tokens.
    pub id: TenantId,
    /// Creation time, the `xms_tcdt` of its tokens.
    pub created: UnixSeconds,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The tenant that it trusts. Its identities are created there.
    pub tenant: TenantId,
    /// Display name.
    pub display_name: String,
    /// The management groups above it, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub management_groups: Vec<String>,
}

/// A resource group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// `/subscriptions/<id>/resourceGroups/<name>`.
    pub id: ArmId,
    /// The region that it was created in.
    pub location: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A user-assigned identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAssigned {
    /// Its resource id.
    pub id: ArmId,
    /// The ids of its service principal.
    pub ids: IdentityIds,
    /// The region that it was created in.
    pub location: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// `None` or `Regional`, if it was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_scope: Option<String>,
    /// Tokens of other issuers that prove the identity, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualMachine {
    /// Its resource id.
    pub id: ArmId,
    /// The id that it keeps for its whole life.
    pub vm_id: VmId,
    /// The region that it was created in.
    pub location: Location,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Source address of its requests. A machine without an address gets no requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Port of its own listener on 127.0.0.1, if it has one. Callers there are this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<u16>,
    /// Limits of its requests, in place of those of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Its system-assigned identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_assigned: Option<IdentityIds>,
    /// The user-assigned identities that it may use, without repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_assigned: Vec<Assignment>,
    /// Other properties that a client has set. They are stored and returned, but have no effect.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// An address that a virtual machine left, or that was removed together with the machine. A machine with
/// [`Address::Any`] does not answer there, unless it is the same machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerAddress {
    /// The address.
    pub address: IpAddr,
    /// The machine that had it last.
    pub vm_id: VmId,
}

/// The right of a VM to use a user-assigned identity. It is bound to the principal, not to the name: when the
/// identity is deleted and created again, the assignment has no effect, as in Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The identity's resource id.
    pub id: ArmId,
    /// Its principal at the time of the assignment.
    pub principal_id: PrincipalId,
}

/// An application registered in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// `appid` of its tokens.
    pub client_id: ClientId,
    /// `oid` of its tokens.
    pub principal_id: PrincipalId,
    /// Tenant of its registration.
    pub tenant: TenantId,
    /// Display name.
    pub display_name: String,
    /// SHA-256 of each of its client secrets, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_digests: Vec<String>,
}

/// A role that a principal holds at a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Its name, unique among all assignments.
    pub name: RoleAssignmentId,
    /// Scope of the role, which includes everything below.
    pub scope: Scope,
    /// The assigned role.
    pub role: RoleDefinitionId,
    /// Principal that holds the role. The assignment outlives its principal, as in Azure.
    pub principal_id: PrincipalId,
    /// `ServicePrincipal`, or another type that the client gave.
    pub principal_type: String,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Creation time.
    pub created: UnixSeconds,
    /// Principal that created it, absent for an assignment from the start of the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<PrincipalId>,
}

impl Grant for RoleAssignment {
    fn role(&self) -> RoleDefinitionId {
        self.role
    }

    fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// A certificate that authenticates a service principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its owner.
    pub principal_id: PrincipalId,
    /// SHA-256 of the certificate, base64url: the `x5t#S256` of its assertions (RFC 7515 section 4.1.8).
    pub thumbprint: String,
    /// The certificate, DER, base64.
    pub certificate: String,
    /// Its private key, PKCS #8. Absent when only the owner has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<StoredSecret>,
    /// Start of its validity.
    pub not_before: UnixSeconds,
    /// End of its validity.
    pub not_after: UnixSeconds,
}

/// A key that signs tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSigningKey {
    /// Name of the key in tokens: the thumbprint of its certificate.
    pub kid: String,
    /// `alg` of its tokens.
    pub algorithm: String,
    /// The private key, PKCS #8.
    pub private_key: StoredSecret,
    /// Its certificate, DER, base64.
    pub certificate: String,
    /// Position in the order of signing. Grows with every key.
    pub generation: u64,
    /// Time of its first signature. Absent for the key that is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_from: Option<UnixSeconds>,
    /// Time at which the next key took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<UnixSeconds>,
    /// Longest lifetime of a token that the key may have signed. Absent for a key that never signed, and for
    /// a key from an older build, which may have signed tokens of any lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime_seconds: Option<u64>,
}

/// Key of one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A tenant.
    Tenant(TenantId),
    /// A subscription.
    Subscription(SubscriptionId),
    /// A resource that clients may request tokens for.
    Audience(String),
    /// An application, by its client id.
    Application(ClientId),
    /// A resource group.
    ResourceGroup(ArmId),
    /// A user-assigned identity.
    UserAssigned(ArmId),
    /// A virtual machine.
    VirtualMachine(ArmId),
    /// An address that a virtual machine has left.
    FormerAddress(IpAddr),
    /// A key vault.
    Vault(ArmId),
    /// A deleted key vault, by its former id.
    DeletedVault(ArmId),
    /// A role assignment.
    RoleAssignment(RoleAssignmentId),
    /// A certificate, by its owner and its thumbprint.
    Credential(PrincipalId, String),
    /// A signing key, by its `kid`.
    SigningKey(String),
    /// A version of a secret: vault, name, version.
    SecretVersion(ArmId, String, String),
    /// A deleted secret: vault, name.
    DeletedSecret(ArmId, String),
    /// A version of a key in a vault: vault, name, version.
    KeyVersion(ArmId, String, String),
    /// A deleted key of a vault: vault, name.
    DeletedKey(ArmId, String),
}

impl fmt::Display for Key {
    /// Writes the text under which the record is stored. Ids that differ only in case give the same text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => write!(f, "tenant {id}"),
            Self::Subscription(id) => write!(f, "subscription {id}"),
            Self::Audience(name) => write!(f, "audience {name}"),
            Self::Application(id) => write!(f, "application {id}"),
            Self::ResourceGroup(id) => write!(f, "resourceGroup {}", id.to_key()),
            Self::UserAssigned(id) => write!(f, "userAssigned {}", id.to_key()),
            Self::VirtualMachine(id) => write!(f, "virtualMachine {}", id.to_key()),
            Self::FormerAddress(address) => write!(f, "formerAddress {address}"),
            Self::Vault(id) => write!(f, "vault {}", id.to_key()),
            Self::DeletedVault(id) => write!(f, "deletedVault {}", id.to_key()),
            Self::RoleAssignment(name) => write!(f, "roleAssignment {name}"),
            Self::Credential(id, thumbprint) => write!(f, "credential {id} {thumbprint}"),
            Self::SigningKey(kid) => write!(f, "signingKey {kid}"),
            Self::SecretVersion(vault, name, version) => {
                write!(f, "secretVersion {} {} {version}", vault.to_key(), name.to_lowercase())
            }
            Self::DeletedSecret(vault, name) => {
                write!(f, "deletedSecret {} {}", vault.to_key(), name.to_lowercase())
            }
            Self::KeyVersion(vault, name, version) => {
                write!(f, "keyVersion {} {} {version}", vault.to_key(), name.to_lowercase())
            }
            Self::DeletedKey(vault, name) => {
                write!(f, "deletedKey {} {}", vault.to_key(), name.to_lowercase())
            }
        }
    }
}

impl Record {
    /// Returns the key of this record.
    pub fn key(&self) -> Key {
        match self {
            Self::Tenant(tenant) => Key::Tenant(tenant.id),
            Self::Subscription(subscription) => Key::Subscription(subscription.id),
            Self::Audience(name) => Key::Audience(name.clone()),
            Self::Application(application) => Key::Application(application.client_id),
            Self::ResourceGroup(group) => Key::ResourceGroup(group.id.clone()),
            Self::UserAssigned(identity) => Key::UserAssigned(identity.id.clone()),
            Self::VirtualMachine(vm) => Key::VirtualMachine(vm.id.clone()),
            Self::FormerAddress(former) => Key::FormerAddress(former.address),
            Self::Vault(vault) => Key::Vault(vault.id.clone()),
            Self::DeletedVault(deleted) => Key::DeletedVault(deleted.vault.id.clone()),
            Self::RoleAssignment(assignment) => Key::RoleAssignment(assignment.name),
            Self::Credential(own) => Key::Credential(own.principal_id, own.thumbprint.clone()),
            Self::SigningKey(key) => Key::SigningKey(key.kid.clone()),
            Self::SecretVersion(secret) => Key::SecretVersion(
                secret.vault.clone(),
                secret.name.clone(),
                secret.version.clone(),
            ),
            Self::DeletedSecret(secret) => {
                Key::DeletedSecret(secret.vault.clone(), secret.name.clone())
            }
            Self::KeyVersion(key) => {
                Key::KeyVersion(key.vault.clone(), key.name.clone(), key.version.clone())
            }
            Self::DeletedKey(key) => Key::DeletedKey(key.vault.clone(), key.name.clone()),
        }
    }
}

/// One change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds the record, or replaces the record with the same key.
    Put(Record),
    /// Removes the record.
    Remove(Key),
}

impl Change {
    /// Returns the key of the changed record.
    pub fn key(&self) -> Key {
        match self {
            Self::Put(record) => record.key(),
            Self::Remove(key) => key.clone(),
        }
    }
}
