//! What is stored: one record for each thing that exists, and the changes that make them.
//!
//! Tokens are not stored. A record holds what its thing was told, nothing that can be worked out from
//! others. `docs/STORE-FORMAT.md` describes how records lie in a file.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::roles::{Grant, Scope};
use super::synthetic::IdentityIds;
use super::vault::VaultSettings;
use crate::clock::UnixSeconds;
use crate::ids::{
    ArmId, ClientId, PrincipalId, RoleAssignmentId, RoleDefinitionId, SubscriptionId, TenantId,
    VmId,
};
use crate::secret::{self, Redacted};

/// Names and values that a user hangs on a resource.
pub type Tags = BTreeMap<String, String>;

/// One thing that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// A directory tenant.
    Tenant(Tenant),
    /// A subscription, which trusts one tenant.
    Subscription(Subscription),
    /// A resource that tokens may be asked for, in one exact spelling.
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
    /// That a principal holds a role at a scope.
    RoleAssignment(RoleAssignment),
    /// A certificate of a service principal.
    Credential(Credential),
    /// A key that tokens are signed with.
    SigningKey(StoredSigningKey),
    /// One version of a secret.
    SecretVersion(SecretVersion),
    /// A secret that was deleted and can still be recovered.
    DeletedSecret(DeletedSecret),
}

/// A directory tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id, the `tid` of its tokens.
    pub id: TenantId,
    /// When it was made, the `xms_tcdt` of its tokens.
    pub created: UnixSeconds,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The tenant that it trusts: its identities are made there.
    pub tenant: TenantId,
    /// Its name for people.
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
    /// The region that it was made in.
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
    /// The region that it was made in.
    pub location: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// `None` or `Regional`, once it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_scope: Option<String>,
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualMachine {
    /// Its resource id.
    pub id: ArmId,
    /// The id that it keeps for its life.
    pub vm_id: VmId,
    /// The region that it was made in.
    pub location: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Where its requests come from; a machine without an address answers nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Its system-assigned identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_assigned: Option<IdentityIds>,
    /// The user-assigned identities that it may use, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user_assigned: Vec<Assignment>,
    /// What else a client said about the machine; kept and given back, never looked at.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// An address that a virtual machine has left, or that was left with the machine. A machine that
/// answers [`Address::Any`] does not answer there, unless it is that same machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerAddress {
    /// The address.
    pub address: IpAddr,
    /// The machine that had it last.
    pub vm_id: VmId,
}

/// That a VM may use a user-assigned identity. It is bound to the principal, not to the name: when the
/// identity is deleted and made anew, the assignment leads nowhere, as in Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The identity's resource id.
    pub id: ArmId,
    /// Its principal when it was assigned.
    pub principal_id: PrincipalId,
}

/// An application registered in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// `appid` of its tokens.
    pub client_id: ClientId,
    /// `oid` of its tokens.
    pub principal_id: PrincipalId,
    /// Where it is registered.
    pub tenant: TenantId,
    /// Its name for people.
    pub display_name: String,
    /// SHA-256 of each of its client secrets, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_digests: Vec<String>,
}

/// That a principal holds a role at a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Its name, unique among all assignments.
    pub name: RoleAssignmentId,
    /// Where it holds, and below.
    pub scope: Scope,
    /// Which role.
    pub role: RoleDefinitionId,
    /// Who holds it. The assignment outlives its principal, as in Azure.
    pub principal_id: PrincipalId,
    /// `ServicePrincipal`, or what else was said.
    pub principal_type: String,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was made.
    pub created: UnixSeconds,
    /// By whom; nobody when the world began with it.
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

/// A certificate with which a service principal proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Whose it is.
    pub principal_id: PrincipalId,
    /// SHA-256 of the certificate, base64url: the `x5t#S256` of its assertions (RFC 7515 section 4.1.8).
    pub thumbprint: String,
    /// The certificate, DER, base64.
    pub certificate: String,
    /// Its private key, PKCS #8; not there when the principal keeps it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<StoredSecret>,
    /// From when on it counts.
    pub not_before: UnixSeconds,
    /// Until when it counts.
    pub not_after: UnixSeconds,
}

/// A secret inside a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredSecret(#[serde(with = "secret::stored")] pub Redacted);

/// A key that tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSigningKey {
    /// Names the key in tokens: the thumbprint of its certificate.
    pub kid: String,
    /// `alg` of its tokens.
    pub algorithm: String,
    /// The private key, PKCS #8.
    pub private_key: StoredSecret,
    /// Its certificate, DER, base64.
    pub certificate: String,
    /// Grows with every key: the order in which they sign.
    pub generation: u64,
    /// When it began to sign; the one that waits its turn has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_from: Option<UnixSeconds>,
    /// When the next one took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<UnixSeconds>,
    /// The longest life of a token that it may have signed. A key that never signed has none, nor has one
    /// that an older build wrote: that may have signed tokens of any life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime_seconds: Option<u64>,
}

/// A key vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vault {
    /// Its resource id; the name is unique among all vaults.
    pub id: ArmId,
    /// The region that it was made in.
    pub location: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// What its owner has set.
    #[serde(default, skip_serializing_if = "VaultSettings::is_default")]
    pub settings: VaultSettings,
}

/// A key vault that was deleted and can still be recovered. Its secrets stay stored until it is purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedVault {
    /// The vault as it was.
    pub vault: Vault,
    /// When it was deleted.
    pub deleted: UnixSeconds,
    /// When it is to be purged.
    pub scheduled_purge: UnixSeconds,
}

impl DeletedVault {
    /// The vault, deleted at `now`.
    pub fn of(vault: &Vault, now: UnixSeconds) -> Self {
        let scheduled_purge = now + vault.settings.retention();
        Self { vault: vault.clone(), deleted: now, scheduled_purge }
    }
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// The vault.
    pub vault: ArmId,
    /// The secret's name.
    pub name: String,
    /// 32 hexadecimal digits.
    pub version: String,
    /// The value, UTF-8.
    pub value: StoredSecret,
    /// What the value is, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Whether it may be read.
    pub enabled: bool,
    /// From when on it is meant to be used; a note, which keeps nobody from reading it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<UnixSeconds>,
    /// Until when it is meant to be used; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixSeconds>,
    /// When it was set.
    pub created: UnixSeconds,
    /// When its attributes were changed last.
    pub updated: UnixSeconds,
    /// Orders the versions of one secret that were set within a second.
    pub ordinal: u64,
}

/// A secret that was deleted and can still be recovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedSecret {
    /// The vault.
    pub vault: ArmId,
    /// The secret's name.
    pub name: String,
    /// When it was deleted.
    pub deleted: UnixSeconds,
    /// When it is to be purged.
    pub scheduled_purge: UnixSeconds,
}

/// Names one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A tenant.
    Tenant(TenantId),
    /// A subscription.
    Subscription(SubscriptionId),
    /// A resource that tokens may be asked for.
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
    /// A deleted key vault, by the id that it had.
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
}

impl fmt::Display for Key {
    /// The text under which the record is stored: equal for equal ids, however they are spelt.
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
        }
    }
}

impl Record {
    /// What names this record.
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
        }
    }
}

/// One step from a state of the world to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes the thing, or puts the record in place of the one with the same key.
    Put(Record),
    /// Ends the thing.
    Remove(Key),
}

impl Change {
    /// The record that it is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Put(record) => record.key(),
            Self::Remove(key) => key.clone(),
        }
    }
}
