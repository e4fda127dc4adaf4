//! The world: tenants, virtual machines, identities and which VM may use which. Pure rules, no I/O.
//!
//! Identities and resources are interned: inside the broker they are small integers, so that a
//! cache key is one `u64` and a lookup compares no strings. A `World` does not change once built.

pub mod file;
pub mod roles;
pub mod synthetic;

mod build;

use std::collections::HashMap;
use std::net::IpAddr;

pub use build::{WorldBuilder, WorldError};

use crate::clock::UnixSeconds;
use crate::ids::{ArmId, ClientId, PrincipalId, SubscriptionId, TenantId, VmId};

/// Position of a tenant in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TenantIndex(u32);

/// Position of an identity in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityIndex(u32);

/// Position of a resource, in one exact spelling, in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceIndex(u32);

/// Position of a virtual machine in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VmIndex(u32);

impl IdentityIndex {
    /// The bare number, for building a cache key.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl ResourceIndex {
    /// The bare number, for building a cache key.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A directory tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id, the `tid` of its tokens.
    pub id: TenantId,
    /// When it was made, the `xms_tcdt` of its tokens.
    pub created: UnixSeconds,
}

/// How an identity came to be, and so when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// Made with a VM and gone with it.
    SystemAssigned,
    /// A resource of its own, assigned to any number of VMs.
    UserAssigned,
}

/// A managed identity and its service principal.
#[derive(Clone, Debug)]
pub struct Identity {
    /// System- or user-assigned.
    pub kind: IdentityKind,
    /// `appid` of its tokens.
    pub client_id: ClientId,
    /// `oid` of its tokens.
    pub principal_id: PrincipalId,
    /// The tenant that it lives in.
    pub tenant: TenantIndex,
    /// The VM (system-assigned) or the identity itself (user-assigned), as in `xms_mirid`.
    pub resource_id: ArmId,
}

/// A virtual machine, as far as its identities go.
#[derive(Clone, Debug)]
pub struct Vm {
    /// Its resource id.
    pub id: ArmId,
    /// The subscription it belongs to.
    pub subscription: SubscriptionId,
    /// The tenant that its subscription trusts.
    pub tenant: TenantIndex,
    /// Where its requests come from; `None` only for the one VM of a single-VM world.
    pub address: Option<IpAddr>,
    system_assigned: Option<IdentityIndex>,
    /// Sorted by client id, so that the commonest selector is a binary search.
    user_assigned: Box<[(ClientId, IdentityIndex)]>,
}

impl Vm {
    /// The id that the VM keeps for its life (`vmId` at IMDS).
    pub fn unique_id(&self) -> VmId {
        VmId::from_bytes(synthetic::named_guid(&self.id.as_str().to_ascii_lowercase()))
    }
}

/// Which of a VM's identities a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By `client_id`.
    ClientId(ClientId),
    /// By `object_id`.
    ObjectId(PrincipalId),
    /// By `msi_res_id` (or the older `mi_res_id`); user-assigned identities only.
    ResourceId(ArmId),
}

/// Why no identity is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The VM has no identity, or not the one that was named. Whether another VM has it is not said.
    #[error("identity not found on the calling virtual machine")]
    NotFound,
    /// No selector, no system-assigned identity, and more than one user-assigned.
    #[error("several user-assigned identities and no selector")]
    Ambiguous,
}

/// All that exists.
#[derive(Debug)]
pub struct World {
    tenants: Vec<Tenant>,
    identities: Vec<Identity>,
    vms: Vec<Vm>,
    vms_by_address: HashMap<IpAddr, VmIndex, foldhash::fast::RandomState>,
    resources: Vec<Box<str>>,
    resources_by_name: HashMap<Box<str>, ResourceIndex, foldhash::fast::RandomState>,
}

impl World {
    /// The VM whose requests come from `peer`.
    ///
    /// A world with a single VM answers any loopback caller.
    pub fn vm_at(&self, peer: IpAddr) -> Option<VmIndex> {
        let by_address = self.vms_by_address.get(&peer.to_canonical()).copied();
        let sole_vm =
            || (self.vms.len() == 1 && peer.to_canonical().is_loopback()).then_some(VmIndex(0));
        by_address.or_else(sole_vm)
    }

    /// The identity of `vm` that `selector` names, or the one that IMDS picks without a selector:
    /// the system-assigned one, else the only user-assigned one (Azure managed identities FAQ).
    ///
    /// # Errors
    /// `NotFound` when the VM does not hold it, `Ambiguous` when a selector is needed.
    pub fn select(
        &self,
        vm: &Vm,
        selector: Option<&Selector>,
    ) -> Result<IdentityIndex, SelectError> {
        match selector {
            Some(selector) => self.named(vm, selector).ok_or(SelectError::NotFound),
            None => match (vm.system_assigned, &*vm.user_assigned) {
                (Some(system_assigned), _) => Ok(system_assigned),
                (None, [(_, only)]) => Ok(*only),
                (None, []) => Err(SelectError::NotFound),
                (None, _) => Err(SelectError::Ambiguous),
            },
        }
    }

    fn named(&self, vm: &Vm, selector: &Selector) -> Option<IdentityIndex> {
        let mut assigned = vm.user_assigned.iter().map(|(_, index)| *index);
        let system_assigned = || vm.system_assigned.into_iter();
        match selector {
            Selector::ClientId(id) => {
                let position = vm.user_assigned.binary_search_by(|(held, _)| held.cmp(id));
                let user_assigned = position.ok().and_then(|at| vm.user_assigned.get(at));
                user_assigned.map(|(_, index)| *index).or_else(|| {
                    system_assigned().find(|index| self.identity(*index).client_id == *id)
                })
            }
            Selector::ObjectId(id) => system_assigned()
                .chain(assigned)
                .find(|index| self.identity(*index).principal_id == *id),
            Selector::ResourceId(id) => {
                assigned.find(|index| self.identity(*index).resource_id == *id)
            }
        }
    }

    /// The resource of exactly this spelling, if the directory knows it.
    pub fn resource_named(&self, name: &str) -> Option<ResourceIndex> {
        self.resources_by_name.get(name).copied()
    }

    /// How many VMs there are.
    pub fn vm_count(&self) -> usize {
        self.vms.len()
    }

    /// How many identities there are.
    pub fn identity_count(&self) -> usize {
        self.identities.len()
    }

    /// Every tenant.
    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// Every VM.
    pub fn vms(&self) -> &[Vm] {
        &self.vms
    }

    /// The identities that `vm` may use, the system-assigned one first.
    pub fn identities_of<'a>(&'a self, vm: &'a Vm) -> impl Iterator<Item = &'a Identity> {
        let user_assigned = vm.user_assigned.iter().map(|(_, index)| *index);
        vm.system_assigned.into_iter().chain(user_assigned).map(|index| self.identity(index))
    }
}

/// Looking up by index: an index is only ever made by the world that it points into.
#[expect(clippy::indexing_slicing, reason = "indices are private and made in range by the builder")]
impl World {
    /// The identity at `index`.
    pub fn identity(&self, index: IdentityIndex) -> &Identity {
        &self.identities[index.0 as usize]
    }

    /// The tenant at `index`.
    pub fn tenant(&self, index: TenantIndex) -> &Tenant {
        &self.tenants[index.0 as usize]
    }

    /// The VM at `index`.
    pub fn vm(&self, index: VmIndex) -> &Vm {
        &self.vms[index.0 as usize]
    }

    /// The spelling of the resource at `index`, which becomes the audience of its tokens.
    pub fn resource(&self, index: ResourceIndex) -> &str {
        &self.resources[index.0 as usize]
    }
}

#[cfg(test)]
mod tests;
