//! First records of a world, and the rules between them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use super::address::Address;
use super::federation::FederatedCredential;
use super::record::{
    Assignment, Location, Record, ResourceGroup, SecretContent, SecretVersion, StoredSecret,
    Subscription, Tags, Tenant, UserAssigned, Vault, VirtualMachine,
};
use super::resources::RESOURCE_LEN_MAX;
use super::throttle::Throttle;
use super::vault::{VaultSettings, vault_address};
use crate::base::clock::UnixSeconds;
use crate::base::ids::{
    ArmId, ClientId, ParseIdError, PrincipalId, SubscriptionId, TenantId, VmId,
};
use crate::base::secret::Redacted;
use crate::base::synthetic::{IdentityIds, Synthetic, named_guid};

/// Default creation date of tenants: 2017-09-14, the age of managed identities.
const TENANT_CREATED: UnixSeconds = UnixSeconds(1_505_347_200);

/// Largest value of a secret, in bytes (Azure, "About Azure Key Vault secrets": 25 KB).
pub(crate) const SECRET_BYTES_MAX: usize = 25 * 1024;

/// Default region.
pub(crate) const LOCATION: &str = "local";

/// Broken rule between items.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// Two items share an id that must be unique.
    #[error("the {what} `{id}` is used twice; give each its own")]
    Duplicate {
        /// Kind of id.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// A VM and an identity assigned to it are in different tenants.
    #[error(
        "the VM `{vm}` is not in the tenant of `{identity}`; assign identities of its own tenant"
    )]
    ForeignIdentity {
        /// The VM.
        vm: String,
        /// The identity.
        identity: String,
    },
    /// The name is not valid as the resource of a token.
    #[error(
        "`{0}` is not a resource; write a URI such as api://my-app, at most {RESOURCE_LEN_MAX} printable characters without quotes or backslashes"
    )]
    Resource(String),
    /// The value of a secret is longer than a vault allows.
    #[error(
        "the value of the secret `{name}` has {bytes} bytes; a vault takes {SECRET_BYTES_MAX} at most, shorten it"
    )]
    SecretTooLong {
        /// The secret.
        name: String,
        /// Length of its value, in bytes.
        bytes: usize,
    },
    /// A derived id is malformed.
    #[error(transparent)]
    Id(#[from] ParseIdError),
}

/// Collects records and checks the rules between them.
#[derive(Debug, Default)]
pub(crate) struct SeedBuilder {
    records: Vec<Record>,
    locations: HashSet<Location>,
    resources: HashSet<String>,
    tenants: HashSet<TenantId>,
    taken: HashSet<[u8; 16], foldhash::fast::RandomState>,
    resource_ids: HashSet<ArmId, foldhash::fast::RandomState>,
    groups: HashSet<ArmId>,
    /// Group of the last resource: usually also that of the next one.
    last_group: Option<ArmId>,
    addresses: HashSet<Address, foldhash::fast::RandomState>,
    /// Names in lower case, as in `secrets`.
    vaults: HashSet<String>,
    vault_addresses: HashSet<Ipv4Addr>,
    secrets: HashSet<(ArmId, String)>,
}

/// A user-assigned identity that was added.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    /// Its resource id.
    pub id: ArmId,
    /// Its principal.
    pub principal_id: PrincipalId,
    tenant: TenantId,
}

/// The identities of a VM that is being added.
#[derive(Clone, Debug, Default)]
pub(crate) struct VmIdentities {
    /// The ids of its system-assigned identity.
    pub system_assigned: Option<IdentityIds>,
    /// User-assigned identities. Repeats are ignored.
    pub user_assigned: Vec<Added>,
}

impl SeedBuilder {
    /// Adds a tenant.
    ///
    /// # Errors
    /// Returns an error when its id is taken.
    pub(crate) fn tenant(&mut self, id: TenantId) -> Result<(), WorldError> {
        if !self.tenants.insert(id) {
            return Err(WorldError::Duplicate { what: "tenant id", id: id.to_string() });
        }
        self.records.push(Record::Tenant(Tenant { id, created: TENANT_CREATED }));
        Ok(())
    }

    /// Adds a subscription that trusts `tenant`. The caller makes sure that its id is new.
    pub(crate) fn subscription(
        &mut self,
        id: SubscriptionId,
        tenant: TenantId,
        management_groups: Vec<String>,
    ) {
        let display_name = format!("subscription {id}");
        let subscription = Subscription { id, tenant, display_name, management_groups };
        self.records.push(Record::Subscription(subscription));
    }

    /// Adds a resource that clients may request tokens for, besides those of Azure's own services.
    ///
    /// # Errors
    /// Returns an error when the name would need escaping in a token response, or is too long.
    pub(crate) fn resource(&mut self, name: &str) -> Result<(), WorldError> {
        if !is_resource(name) {
            return Err(WorldError::Resource(name.to_owned()));
        }
        if self.resources.insert(name.to_owned()) {
            self.records.push(Record::Audience(name.to_owned()));
        }
        Ok(())
    }

    /// Adds a user-assigned identity, and its resource group if that is new. The caller has checked the
    /// credentials.
    ///
    /// # Errors
    /// Returns an error when its resource id, client id or principal id is taken.
    pub(crate) fn user_assigned(
        &mut self,
        tenant: TenantId,
        id: ArmId,
        ids: IdentityIds,
        federated_credentials: Vec<FederatedCredential>,
    ) -> Result<Added, WorldError> {
        self.claim_resource_id(&id)?;
        self.claim_ids(ids)?;
        self.group(&id)?;
        let added = Added { id: id.clone(), principal_id: ids.principal_id, tenant };
        let (location, tags) = (LOCATION.to_owned(), Tags::new());
        let isolation_scope = None;
        let identity =
            UserAssigned { id, ids, location, tags, isolation_scope, federated_credentials };
        self.records.push(Record::UserAssigned(identity));
        Ok(added)
    }

    /// Adds a VM and its system-assigned identity, and its resource group if that is new.
    ///
    /// # Errors
    /// Returns an error when its resource id, its address or an id of its identity is taken.
    pub(crate) fn vm(
        &mut self,
        tenant: TenantId,
        id: ArmId,
        address: Option<Address>,
        throttle: Option<Throttle>,
        identities: VmIdentities,
    ) -> Result<(), WorldError> {
        self.claim_resource_id(&id)?;
        check_tenant(tenant, &id, &identities.user_assigned)?;
        if let Some(address) = address.filter(|address| !self.addresses.insert(*address)) {
            return Err(WorldError::Duplicate { what: "address", id: address.to_string() });
        }
        identities.system_assigned.map_or(Ok(()), |ids| self.claim_ids(ids))?;
        self.group(&id)?;
        self.records.push(Record::VirtualMachine(VirtualMachine {
            vm_id: VmId::from_bytes(named_guid(&id.to_key())),
            id,
            location: Location::from(LOCATION).shared(&mut self.locations),
            tags: Tags::new(),
            address,
            listener: None,
            throttle,
            system_assigned: identities.system_assigned,
            user_assigned: assignments(identities.user_assigned),
            properties: serde_json::Map::new(),
        }));
        Ok(())
    }

    /// Adds a key vault, and its resource group if that is new.
    ///
    /// # Errors
    /// Returns an error when its resource id, its address or its name is taken. The name is also a host name.
    pub(crate) fn vault(&mut self, id: ArmId, settings: VaultSettings) -> Result<(), WorldError> {
        self.claim_resource_id(&id)?;
        if !self.vaults.insert(id.name().to_ascii_lowercase()) {
            let id = id.name().to_owned();
            return Err(WorldError::Duplicate { what: "vault name", id });
        }
        if !self.vault_addresses.insert(vault_address(id.name())) {
            let what = "loopback address that follows from the vault name";
            return Err(WorldError::Duplicate { what, id: id.name().to_owned() });
        }
        self.group(&id)?;
        let (location, tags) = (LOCATION.to_owned(), Tags::new());
        self.records.push(Record::Vault(Vault { id, location, tags, settings }));
        Ok(())
    }

    /// Adds a secret with one version. The id of the version is derived from vault and name.
    ///
    /// # Errors
    /// Returns an error when the name is taken, or the value is longer than [`SECRET_BYTES_MAX`].
    pub(crate) fn secret(
        &mut self,
        vault: ArmId,
        name: &str,
        value: Redacted,
    ) -> Result<(), WorldError> {
        let (key, name) = (name.to_ascii_lowercase(), name.to_owned());
        let bytes = value.expose().len();
        if bytes > SECRET_BYTES_MAX {
            return Err(WorldError::SecretTooLong { name, bytes });
        }
        let version = named_guid(&format!("secret:{} {key}", vault.to_key()));
        if !self.secrets.insert((vault.clone(), key)) {
            return Err(WorldError::Duplicate { what: "secret name", id: name });
        }
        let version = uuid::Uuid::from_bytes(version).simple().to_string();
        let content = SecretContent { value: StoredSecret(value), content_type: None };
        let secret = SecretVersion::plain(vault, name, version, content, TENANT_CREATED);
        self.records.push(Record::SecretVersion(secret));
        Ok(())
    }

    fn group(&mut self, of: &ArmId) -> Result<(), WorldError> {
        if self.last_group.as_ref().is_some_and(|group| of.is_below(group)) {
            return Ok(());
        }
        let Some(name) = of.resource_group() else { return Ok(()) };
        let subscription = of.subscription();
        let id: ArmId = format!("/subscriptions/{subscription}/resourceGroups/{name}").parse()?;
        self.last_group = Some(id.clone());
        if self.groups.insert(id.clone()) {
            let group = ResourceGroup { id, location: LOCATION.to_owned(), tags: Tags::new() };
            self.records.push(Record::ResourceGroup(group));
        }
        Ok(())
    }

    /// Claims the ids of an application, which the caller then adds.
    ///
    /// # Errors
    /// Returns an error when one of them is taken.
    pub(super) fn claim_application(&mut self, ids: IdentityIds) -> Result<(), WorldError> {
        self.claim_ids(ids)
    }

    fn claim_ids(&mut self, ids: IdentityIds) -> Result<(), WorldError> {
        let IdentityIds { client_id, principal_id } = ids;
        self.claim_guid("client id", *client_id.as_bytes(), &client_id)?;
        self.claim_guid("principal id", *principal_id.as_bytes(), &principal_id)
    }

    fn claim_guid(
        &mut self,
        what: &'static str,
        guid: [u8; 16],
        id: &dyn std::fmt::Display,
    ) -> Result<(), WorldError> {
        let duplicate = || WorldError::Duplicate { what, id: id.to_string() };
        if self.taken.insert(guid) { Ok(()) } else { Err(duplicate()) }
    }

    fn claim_resource_id(&mut self, id: &ArmId) -> Result<(), WorldError> {
        let duplicate = || WorldError::Duplicate { what: "resource id", id: id.to_string() };
        if self.resource_ids.insert(id.clone()) { Ok(()) } else { Err(duplicate()) }
    }

    /// Adds a record without checks. The caller makes sure that it follows the rules.
    pub(crate) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Returns the records, each after those that it names.
    pub(crate) fn build(self) -> Vec<Record> {
        self.records
    }
}

/// Returns true if a name can be the resource of a token: it needs no escaping in a token response, and is not
/// too long.
pub(super) fn is_resource(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let fits = (1..=RESOURCE_LEN_MAX).contains(&name.len()) && name != "/";
    fits && name.bytes().all(plain)
}

fn check_tenant(tenant: TenantId, vm: &ArmId, assigned: &[Added]) -> Result<(), WorldError> {
    let foreign = assigned.iter().find(|identity| identity.tenant != tenant);
    foreign.map_or(Ok(()), |identity| {
        let [vm, identity] = [vm, &identity.id].map(|id| id.name().to_owned());
        Err(WorldError::ForeignIdentity { vm, identity })
    })
}

fn assignments(added: Vec<Added>) -> Vec<Assignment> {
    let mut seen = HashSet::new();
    let new = added.into_iter().filter(|identity| seen.insert(identity.principal_id));
    new.map(|Added { id, principal_id, .. }| Assignment { id, principal_id }).collect()
}

impl Synthetic {
    /// Builds the whole world of this shape.
    ///
    /// # Errors
    /// Never fails for a parsed shape: derived ids do not collide (64 mixed bits each way).
    pub fn build(&self) -> Result<Vec<Record>, WorldError> {
        let mut builder = SeedBuilder::default();
        let tenant = self.tenant_id();
        builder.tenant(tenant)?;
        builder.subscription(self.subscription_id(), tenant, Vec::new());
        for vm in 0..self.vms {
            let user_assigned = (0..self.user_assigned)
                .map(|index| {
                    let id = self.user_assigned_id(vm, index)?;
                    let ids = self.user_assigned(vm, index);
                    builder.user_assigned(tenant, id, ids, Vec::new())
                })
                .collect::<Result<Vec<_>, _>>()?;
            let identities =
                VmIdentities { system_assigned: Some(self.system_assigned(vm)), user_assigned };
            let address = IpAddr::V4(self.address(vm)).into();
            builder.vm(tenant, self.vm_id(vm)?, Some(address), None, identities)?;
        }
        Ok(builder.build())
    }
}

/// Derives ids for an identity whose file names none. The same resource id always gives the same ids.
pub(super) fn derived_ids(resource_id: &ArmId) -> IdentityIds {
    let guid = |kind: &str| named_guid(&format!("{kind}{}", resource_id.to_key()));
    IdentityIds {
        client_id: ClientId::from_bytes(guid("client:")),
        principal_id: PrincipalId::from_bytes(guid("principal:")),
    }
}
