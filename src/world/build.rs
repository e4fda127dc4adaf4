//! Building a world: interning, and the rules that hold between its items.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::synthetic::{IdentityIds, Synthetic, WELL_KNOWN_RESOURCES};
use super::{
    Identity, IdentityIndex, IdentityKind, ResourceIndex, Tenant, TenantIndex, Vm, VmIndex, World,
};
use crate::clock::UnixSeconds;
use crate::ids::{ArmId, ClientId, ParseIdError, PrincipalId, SubscriptionId, TenantId};

/// The app ids of the well-known resources: Entra accepts them as `resource` too.
const WELL_KNOWN_APP_IDS: [&str; 4] = [
    "797f4846-ba00-4fd7-ba43-dac1f8f63013", // Azure Resource Manager
    "cfa8b339-82a2-471a-a3c9-0fc0be7a4093", // Azure Key Vault
    "e406a681-f3d4-42a8-90b6-c2b029497af1", // Azure Storage
    "00000003-0000-0000-c000-000000000000", // Microsoft Graph
];

/// Makes every tenant that names no date as old as managed identities: 2017-09-14.
const TENANT_CREATED: UnixSeconds = UnixSeconds(1_505_347_200);

/// Bounds what is echoed in every token of the resource; Entra's own bound on an app id URI.
const RESOURCE_LEN_MAX: usize = 255;

/// Which rule between items is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// Two items share an id that must be unique.
    #[error("the {what} `{id}` is used twice; give each its own")]
    Duplicate {
        /// What kind of id.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// A VM has no address though there are others.
    #[error("the VM `{0}` has no address; every VM needs one when there is more than one")]
    AddressMissing(String),
    /// More items than an index can count.
    #[error("more than {max} {what}; split the world")]
    TooMany {
        /// Which items.
        what: &'static str,
        /// The most that is supported.
        max: u32,
    },
    /// No request can come from this address.
    #[error("no request comes from `{0}`; write the address that the VM calls from")]
    Address(IpAddr),
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
    /// Not a resource that a token can be for.
    #[error(
        "`{0}` is not a resource; write a URI such as api://my-app, at most {RESOURCE_LEN_MAX} printable characters without quotes or backslashes"
    )]
    Resource(String),
    /// An id that was put together is malformed.
    #[error(transparent)]
    Id(#[from] ParseIdError),
}

/// Collects items and checks the rules between them.
#[derive(Debug, Default)]
pub struct WorldBuilder {
    tenants: Vec<Tenant>,
    identities: Vec<Identity>,
    vms: Vec<Vm>,
    resources: Vec<Box<str>>,
    taken: HashSet<[u8; 16], foldhash::fast::RandomState>,
    resource_ids: HashSet<ArmId>,
    addresses: HashMap<IpAddr, VmIndex, foldhash::fast::RandomState>,
}

/// What a VM may use.
#[derive(Clone, Debug)]
pub struct VmIdentities {
    /// Its own identity.
    pub system_assigned: Option<IdentityIds>,
    /// Those assigned to it; repeats are ignored.
    pub user_assigned: Vec<IdentityIndex>,
}

impl WorldBuilder {
    /// A world with the well-known resources and nothing else.
    pub fn new() -> Self {
        let mut builder = Self::default();
        for name in WELL_KNOWN_RESOURCES.iter().chain(&WELL_KNOWN_APP_IDS) {
            builder.intern(name);
        }
        builder
    }

    /// Adds a tenant.
    ///
    /// # Errors
    /// When its id is taken.
    pub fn tenant(&mut self, id: TenantId) -> Result<TenantIndex, WorldError> {
        if self.tenants.iter().any(|tenant| tenant.id == id) {
            return Err(WorldError::Duplicate { what: "tenant id", id: id.to_string() });
        }
        self.tenants.push(Tenant { id, created: TENANT_CREATED });
        Ok(TenantIndex(last_index(self.tenants.len(), "tenants")?))
    }

    /// Adds a resource that tokens may be asked for, with and without a slash at its end.
    ///
    /// # Errors
    /// When it could not stand in a token's response as it is.
    pub fn resource(&mut self, name: &str) -> Result<(), WorldError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let fits = (1..=RESOURCE_LEN_MAX).contains(&name.len()) && name != "/";
        if !fits || !name.bytes().all(plain) {
            return Err(WorldError::Resource(name.to_owned()));
        }
        self.intern(name);
        Ok(())
    }

    fn intern(&mut self, name: &str) {
        let bare = name.strip_suffix('/').unwrap_or(name);
        self.resources.push(bare.into());
        if bare.contains(':') {
            self.resources.push(format!("{bare}/").into());
        }
    }

    /// Adds a user-assigned identity.
    ///
    /// # Errors
    /// When its resource id, client id or principal id is taken.
    pub fn user_assigned(
        &mut self,
        tenant: TenantIndex,
        resource_id: ArmId,
        ids: IdentityIds,
    ) -> Result<IdentityIndex, WorldError> {
        self.claim_resource_id(&resource_id)?;
        self.identity(IdentityKind::UserAssigned, tenant, resource_id, ids)
    }

    /// Adds a VM and its system-assigned identity.
    ///
    /// # Errors
    /// When its resource id, its address or an id of its identity is taken.
    pub fn vm(
        &mut self,
        tenant: TenantIndex,
        subscription: SubscriptionId,
        id: ArmId,
        address: Option<IpAddr>,
        identities: VmIdentities,
    ) -> Result<VmIndex, WorldError> {
        self.claim_resource_id(&id)?;
        Self::check_callable(address)?;
        self.check_tenant(tenant, &id, &identities.user_assigned)?;
        let index = VmIndex(last_index(self.vms.len() + 1, "VMs")?);
        if let Some(address) = address
            && self.addresses.insert(address.to_canonical(), index).is_some()
        {
            return Err(WorldError::Duplicate { what: "address", id: address.to_string() });
        }
        let system_assigned = identities
            .system_assigned
            .map(|ids| self.identity(IdentityKind::SystemAssigned, tenant, id.clone(), ids))
            .transpose()?;
        let user_assigned = self.assigned(identities.user_assigned);
        self.vms.push(Vm { id, subscription, tenant, address, system_assigned, user_assigned });
        Ok(index)
    }

    fn check_callable(address: Option<IpAddr>) -> Result<(), WorldError> {
        let uncallable = |address: &IpAddr| {
            let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
            address.is_unspecified() || address.is_multicast() || broadcast
        };
        address.filter(uncallable).map_or(Ok(()), |address| Err(WorldError::Address(address)))
    }

    fn check_tenant(
        &self,
        tenant: TenantIndex,
        vm: &ArmId,
        assigned: &[IdentityIndex],
    ) -> Result<(), WorldError> {
        let mut identities =
            assigned.iter().filter_map(|index| self.identities.get(index.0 as usize));
        let foreign = identities.find(|identity| identity.tenant != tenant);
        foreign.map_or(Ok(()), |identity| {
            let [vm, identity] = [vm, &identity.resource_id].map(|id| id.name().to_owned());
            Err(WorldError::ForeignIdentity { vm, identity })
        })
    }

    fn assigned(&self, indices: Vec<IdentityIndex>) -> Box<[(ClientId, IdentityIndex)]> {
        let with_client_id = |index: IdentityIndex| {
            self.identities.get(index.0 as usize).map(|identity| (identity.client_id, index))
        };
        let mut assigned: Vec<_> = indices.into_iter().filter_map(with_client_id).collect();
        assigned.sort_unstable();
        assigned.dedup();
        assigned.into_boxed_slice()
    }

    fn identity(
        &mut self,
        kind: IdentityKind,
        tenant: TenantIndex,
        resource_id: ArmId,
        ids: IdentityIds,
    ) -> Result<IdentityIndex, WorldError> {
        let IdentityIds { client_id, principal_id } = ids;
        self.claim_guid("client id", *client_id.as_bytes(), &client_id)?;
        self.claim_guid("principal id", *principal_id.as_bytes(), &principal_id)?;
        self.identities.push(Identity { kind, client_id, principal_id, tenant, resource_id });
        Ok(IdentityIndex(last_index(self.identities.len(), "identities")?))
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

    /// The finished world.
    ///
    /// # Errors
    /// When a VM among several has no address.
    pub fn build(mut self) -> Result<World, WorldError> {
        let addressless = self.vms.iter().find(|vm| vm.address.is_none());
        if let (Some(vm), 2..) = (addressless, self.vms.len()) {
            return Err(WorldError::AddressMissing(vm.id.name().to_owned()));
        }
        self.resources.sort_unstable();
        self.resources.dedup();
        let numbered = self.resources.iter().zip(0..);
        Ok(World {
            resources_by_name: numbered
                .map(|(name, index)| (name.clone(), ResourceIndex(index)))
                .collect(),
            tenants: self.tenants,
            identities: self.identities,
            vms: self.vms,
            vms_by_address: self.addresses,
            resources: self.resources,
        })
    }
}

fn last_index(len: usize, what: &'static str) -> Result<u32, WorldError> {
    u32::try_from(len - 1).map_err(|_| WorldError::TooMany { what, max: u32::MAX })
}

impl Synthetic {
    /// The whole world of this shape.
    ///
    /// # Errors
    /// Never for a shape that was parsed: derived ids do not collide (64 mixed bits each way).
    pub fn build(&self) -> Result<World, WorldError> {
        let mut builder = WorldBuilder::new();
        let tenant = builder.tenant(self.tenant_id())?;
        for vm in 0..self.vms {
            let user_assigned = (0..self.user_assigned)
                .map(|index| {
                    builder.user_assigned(
                        tenant,
                        self.user_assigned_id(vm, index)?,
                        self.user_assigned(vm, index),
                    )
                })
                .collect::<Result<Vec<_>, _>>()?;
            let identities =
                VmIdentities { system_assigned: Some(self.system_assigned(vm)), user_assigned };
            let address = Some(IpAddr::V4(self.address(vm)));
            builder.vm(tenant, self.subscription_id(), self.vm_id(vm)?, address, identities)?;
        }
        builder.build()
    }
}

/// Ids for an identity whose file names none: the same resource id always gives the same ids.
pub(super) fn derived_ids(resource_id: &ArmId) -> IdentityIds {
    let guid = |kind: &str| {
        super::synthetic::named_guid(&format!(
            "{kind}{}",
            resource_id.as_str().to_ascii_lowercase()
        ))
    };
    IdentityIds {
        client_id: ClientId::from_bytes(guid("client:")),
        principal_id: PrincipalId::from_bytes(guid("principal:")),
    }
}
